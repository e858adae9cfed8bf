// From spans to the way that a team of agents took: one lane per agent, its steps from left to right, and
// what repeats drawn once.
import { model } from './names'
import { Tree } from './tree'
import type { Kind, Span } from './types'

/** Step is a card: one call of a model, tool or store, or several like it in a loop. */
export interface Step {
  id: string
  name: string
  kind: Kind
  spans: Span[] // each time it was taken
  lane: number
  column: number
  row: number // within its lane: steps of one column ran at the same time
  calls: number[] // the lanes that this step hands over to, each once, in order
  turns: number[] // the same, each time
}

/** Stage is what ran at the same time. */
type Stage = Step[]

export interface Lane {
  agent: string
  spans: Span[] // each run of the agent
  taken: Step[] // in the order of their starts, before they are folded
  stages: Stage[]
  rows: number // cards above each other at most
}

export interface Trajectory {
  lanes: Lane[]
  steps: Step[]
  edges: Edge[]
}

/** Edge leads from one step to the next; again says how often a loop goes around. */
export interface Edge {
  from: string
  to: string
  again?: number
}

const stepKinds: ReadonlySet<Kind> = new Set<Kind>(['model', 'tool', 'retrieval', 'memory'])

/** agentName tells runs of the same agent from others. */
const agentName = (s: Span) => s.agent || s.name.replace(/^invoke_agent\s+/, '')

/** isAgent leaves out the turns of an agent's own loop: they are no agents. */
const isAgent = (s: Span) => s.kind === 'agent' && !/cycle|event_loop/.test(s.name)

/** label is what a step is called on its card. */
export function label(s: Span): string {
  if (s.kind === 'model') return s.model?.name ? model(s.model.name) : s.name
  if (s.kind === 'tool') return s.tool?.name ?? s.name
  return s.name
}

export function trajectory(spans: Span[]): Trajectory {
  const tree = new Tree(spans.filter((s) => !s.noise))
  const build = new Builder(tree)
  for (const root of tree.roots) build.visit(root, undefined, undefined)
  return build.finish()
}

class Builder {
  private readonly lanes: Lane[] = []
  private readonly byName = new Map<string, number>()

  constructor(private readonly tree: Tree) {}

  /** visit puts a span into the lane of the agent that it belongs to; caller is the step above it. */
  visit(span: Span, lane: number | undefined, caller: Step | undefined) {
    let step = caller
    if (isAgent(span)) {
      const inner = this.lane(agentName(span), span)
      if (caller && inner !== lane) caller.turns.push(inner)
      lane = inner
      step = undefined
    } else if (stepKinds.has(span.kind) && !this.isWrapped(span)) {
      lane ??= this.lane('agent', span)
      step = { id: span.spanId, name: label(span), kind: span.kind, spans: [span], lane, column: 0, row: 0, calls: [], turns: [] }
      this.lanes[lane]!.taken.push(step)
    }
    for (const child of [...this.tree.children(span)].sort((a, b) => a.offsetMs - b.offsetMs)) this.visit(child, lane, step)
  }

  /** isWrapped reports whether an inner span reports the same call of a model: one card is enough. */
  private isWrapped(span: Span): boolean {
    let at = span.parentId ? this.tree.byId.get(span.parentId) : undefined
    for (; at && !isAgent(at); at = at.parentId ? this.tree.byId.get(at.parentId) : undefined) if (at.kind === span.kind && span.kind === 'model') return true
    return false
  }

  private lane(agent: string, span: Span): number {
    const known = this.byName.get(agent)
    if (known !== undefined) {
      this.lanes[known]!.spans.push(span)
      return known
    }
    this.byName.set(agent, this.lanes.length)
    return this.lanes.push({ agent, spans: [span], taken: [], stages: [], rows: 1 }) - 1
  }

  finish(): Trajectory {
    const edges: Edge[] = []
    for (const lane of this.lanes) {
      const folded = foldLoops(this.stages(lane.taken))
      lane.stages = folded.stages
      lane.rows = Math.max(1, ...lane.stages.map((stage) => stage.length))
      edges.push(...folded.edges)
    }
    for (const step of this.lanes.flatMap((l) => l.stages.flat())) edges.push(...this.handOver(step))
    const lanes = this.lanes.filter((l) => l.stages.length > 0)
    this.place(lanes)
    return { lanes, steps: lanes.flatMap((l) => l.stages.flat()), edges: unique(edges) }
  }

  /** stages puts steps together that ran at the same time, none within another. */
  private stages(steps: Step[]): Stage[] {
    const out: Stage[] = []
    for (const step of [...steps].sort((a, b) => a.spans[0]!.offsetMs - b.spans[0]!.offsetMs)) {
      const before = out.at(-1)
      const parallel = before?.every((s) => overlap(s.spans[0]!, step.spans[0]!) && !this.isWithin(step.spans[0]!, s.spans[0]!))
      parallel ? before!.push(step) : out.push([step])
    }
    return out
  }

  private isWithin(inner: Span, outer: Span): boolean {
    for (let at: Span | undefined = inner; at; at = at.parentId ? this.tree.byId.get(at.parentId) : undefined) if (at === outer) return true
    return false
  }

  /** handOver leads from a step to the agents that it calls, one after the other, and back where they take turns. */
  private handOver(step: Step): Edge[] {
    step.calls = [...new Set(step.turns)].filter((l) => this.lanes[l]!.stages.length > 0)
    const [first] = step.calls
    if (first === undefined) return []
    const edges: Edge[] = this.lanes[first]!.stages[0]!.map((to) => ({ from: step.id, to: to.id }))
    const seen = new Set([first])
    for (let i = 1; i < step.turns.length; i++) {
      const [before, now] = [this.lanes[step.turns[i - 1]!]!, this.lanes[step.turns[i]!]!]
      if (before === now || !before.stages.length || !now.stages.length) continue
      const back = seen.has(step.turns[i]!)
      seen.add(step.turns[i]!)
      const again = step.turns.filter((l) => l === step.turns[i]).length
      edges.push({ from: before.stages.at(-1)![0]!.id, to: now.stages[0]![0]!.id, again: back ? again : undefined })
    }
    return edges
  }

  /** place gives each step a column: after the stage before it, and after what the stage before called. */
  private place(lanes: Lane[]) {
    const starts = new Map<Lane, number>()
    lanes.forEach((lane, i) => {
      let column = starts.get(lane) ?? 0
      for (const stage of lane.stages) {
        let end = column + 1
        stage.forEach((step, row) => {
          Object.assign(step, { lane: i, column, row })
          let inner = column
          for (const called of step.calls.map((l) => this.lanes[l]!)) {
            if (called === lane || starts.has(called)) continue
            starts.set(called, inner)
            inner += called.stages.length
          }
          end = Math.max(end, inner)
        })
        column = end
      }
    })
  }
}

const overlap = (a: Span, b: Span) => b.offsetMs < a.offsetMs + a.durationMs * 0.9 && a.offsetMs < b.offsetMs + b.durationMs

function unique(edges: Edge[]): Edge[] {
  const byEnds = new Map<string, Edge>()
  for (const e of edges) if (!byEnds.has(e.from + e.to)) byEnds.set(e.from + e.to, e)
  return [...byEnds.values()]
}

const word = (s: Step) => `${s.kind} ${s.name} ${s.turns}`
const same = (a: Stage, b: Stage) => a.length === b.length && a.map(word).sort().join('\n') === b.map(word).sort().join('\n')

/** foldLoops draws stages that repeat once. A card keeps all the times that it was taken. */
function foldLoops(stages: Stage[]): { stages: Stage[]; edges: Edge[] } {
  const out: Stage[] = []
  const edges: Edge[] = []
  const lead = (a: Stage | undefined, b: Stage) => a?.forEach((from) => b.forEach((to) => edges.push({ from: from.id, to: to.id })))
  for (let i = 0; i < stages.length; ) {
    const loop = longestLoop(stages, i)
    const body = stages.slice(i, i + loop.period)
    for (let round = 1; round < loop.times; round++) body.forEach((stage, k) => take(stage, stages[i + round * loop.period + k]!))
    body.forEach((stage, k) => lead(k ? body[k - 1] : out.at(-1), stage))
    if (loop.times > 1) edges.push({ from: body.at(-1)![0]!.id, to: body[0]![0]!.id, again: loop.times })
    out.push(...body)
    i += loop.period * loop.times
  }
  return { stages: out, edges }
}

/** take adds the spans of a later round to the steps of the first. */
function take(stage: Stage, later: Stage) {
  const left = [...later]
  for (const step of stage) {
    const at = left.findIndex((s) => word(s) === word(step))
    if (at >= 0) step.spans.push(...left.splice(at, 1)[0]!.spans)
  }
}

/** longestLoop finds how often the stages from i on repeat, with a body of up to six. */
function longestLoop(stages: Stage[], i: number): { period: number; times: number } {
  let best = { period: 1, times: 1 }
  for (let period = 1; period <= 6 && i + 2 * period <= stages.length; period++) {
    let times = 1
    while (i + (times + 1) * period <= stages.length && range(period).every((k) => same(stages[i + k]!, stages[i + times * period + k]!))) times++
    if (times > 1 && period * times > best.period * best.times) best = { period, times }
  }
  return best
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i)
