// From spans to the way that a team of agents took: one lane per agent, its steps one below the other, and
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
  by?: string // the model that answered, where it is another than was asked
  lane: number
  at: number // its place in time, from 0
  beside: number // its place among those of its lane that ran at the same time
  turns: number[] // the lanes that this step hands over to, one after the other
}

/** Stage is what ran at the same time. */
type Stage = Step[]

export interface Lane {
  agent: string
  spans: Span[] // each run of the agent
  taken: Step[] // in the order of their starts, before they are folded
  stages: Stage[]
  wide: number // cards beside each other at most
}

export interface Trajectory {
  lanes: Lane[]
  steps: Step[]
  edges: Edge[]
}

/** Edge leads from one step to the next, or to another agent's; again says how often a loop goes around. */
export interface Edge {
  from: string
  to: string
  way: 'next' | 'call' | 'turn' | 'loop'
  again?: number
}

const stepKinds: ReadonlySet<Kind> = new Set<Kind>(['model', 'tool', 'retrieval', 'memory'])

/** agentName tells runs of the same agent from others. */
const agentName = (s: Span) => s.agent || s.name.replace(/^invoke_agent\s+/, '')

/** isAgent leaves out the turns of an agent's own loop: they are no agents. */
/** laneName tells agents apart that all have their framework's name: one that a tool runs is called as the tool. */
const laneName = (s: Span, { agent, step }: Place) => (step?.kind === 'tool' && agentName(s) === agent ? step.name : agentName(s))

const isAgent = (s: Span) => s.kind === 'agent' && !/cycle|event_loop/.test(s.name)

/** label is what a step is called on its card. */
export function label(s: Span): string {
  if (s.kind === 'model') return s.model?.name ? model(s.model.name).replace(/-\d{8}$/, '') : s.name
  if (s.kind === 'tool') return s.tool?.name ?? s.name
  return s.name.replace(/^Bedrock[\w ]*\./, '') // the service, which AWS's SDKs put before the operation
}

export function trajectory(spans: Span[]): Trajectory {
  const tree = new Tree(spans.filter((s) => !s.noise))
  const build = new Builder(tree)
  for (const root of tree.roots) build.visit(root, {})
  return build.finish()
}

/** Place is where a span is met: within which agent, in whose lane, and below which step. */
interface Place {
  agent?: string
  lane?: number
  step?: Step
}

class Builder {
  private readonly lanes: Lane[] = []
  private readonly byName = new Map<string, number>()

  constructor(private readonly tree: Tree) {}

  visit(span: Span, place: Place) {
    const { step } = place
    if (isAgent(span)) {
      const lane = this.lane(laneName(span, place), span)
      if (step && lane !== step.lane && step.turns.at(-1) !== lane) step.turns.push(lane)
      place = { agent: agentName(span), lane }
    } else if (stepKinds.has(span.kind)) {
      if (this.isWrapped(span)) step!.by = span.model?.name ?? step!.by
      else place = this.step(span, place)
    }
    for (const child of this.children(span)) this.visit(child, place)
  }

  private step(span: Span, place: Place): Place {
    const lane = place.lane ?? this.lane('agent', span)
    const step: Step = { id: span.spanId, name: label(span), kind: span.kind, spans: [span], lane, at: 0, beside: 0, turns: [] }
    this.lanes[lane]!.taken.push(step)
    const within = { ...place, lane, step }
    const [agent, more] = [...new Set(this.agentsIn(span).map((s) => laneName(s, within)))]
    if (agent === undefined || more !== undefined || agent === this.lanes[lane]!.agent) return within
    // A tool that is an agent: what it does beside the agent is the agent's, too.
    return { ...within, lane: this.lane(agent) }
  }

  private children = (span: Span) => [...this.tree.children(span)].sort((a, b) => a.offsetMs - b.offsetMs)

  /** agentsIn are the agents below a span, none within another. */
  private agentsIn = (span: Span): Span[] => this.children(span).flatMap((c) => (isAgent(c) ? [c] : this.agentsIn(c)))

  /** isWrapped reports whether an inner span reports the same call of a model, or the same search: one card is enough. */
  private isWrapped(span: Span): boolean {
    if (span.kind !== 'model' && span.kind !== 'retrieval') return false
    let at = span.parentId ? this.tree.byId.get(span.parentId) : undefined
    for (; at && !isAgent(at); at = at.parentId ? this.tree.byId.get(at.parentId) : undefined) if (at.kind === span.kind) return true
    return false
  }

  private lane(agent: string, run?: Span): number {
    let i = this.byName.get(agent)
    if (i === undefined) {
      i = this.lanes.push({ agent, spans: [], taken: [], stages: [], wide: 1 }) - 1
      this.byName.set(agent, i)
    }
    if (run) this.lanes[i]!.spans.push(run)
    return i
  }

  finish(): Trajectory {
    const edges: Edge[] = []
    for (const lane of this.lanes) {
      lane.taken.sort((a, b) => a.spans[0]!.offsetMs - b.spans[0]!.offsetMs)
      const folded = foldLoops(this.stages(lane.taken))
      lane.stages = folded.stages
      lane.wide = Math.max(1, ...lane.stages.map((stage) => stage.length))
      edges.push(...folded.edges)
    }
    for (const lane of this.lanes) edges.push(...this.handOvers(lane))
    const lanes = this.lanes.filter((l) => l.stages.length > 0)
    this.place(lanes)
    return { lanes, steps: lanes.flatMap((l) => l.stages.flat()), edges: unique(edges) }
  }

  /** stages puts steps together that ran at the same time, none within another. */
  private stages(steps: Step[]): Stage[] {
    const out: Stage[] = []
    for (const step of steps) {
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

  /** handOvers lead from steps to the agents that they call, and from agent to agent where these take turns. */
  private handOvers(lane: Lane): Edge[] {
    const edges: Edge[] = []
    const turns: { lane: number; step: Step; alone: boolean }[] = []
    for (const stage of this.stages(lane.taken))
      for (const step of stage) for (const to of step.turns) if (this.lanes[to]!.stages.length) turns.push({ lane: to, step, alone: stage.length === 1 })
    turns.forEach((now, i) => {
      const [before, to] = [turns[i - 1], this.lanes[now.lane]!.stages[0]!]
      const seen = turns.slice(0, i).some((t) => t.lane === now.lane)
      if (!seen && before?.step !== now.step) edges.push(...to.map((card): Edge => ({ from: now.step.id, to: card.id, way: 'call' })))
      if (!before || before.lane === now.lane || !(before.alone && now.alone)) return
      // Agents of one step follow each other; those of several do where they come around again.
      if (!seen && before.step !== now.step && !turns.slice(i).some((t) => t.lane === before.lane)) return
      const again = turns.filter((t, k) => t.lane === now.lane && turns[k - 1]?.lane !== now.lane).length
      const from = this.lanes[before.lane]!.stages.at(-1)![0]!.id
      edges.push(seen ? { from, to: to[0]!.id, way: 'loop', again } : { from, to: to[0]!.id, way: 'turn' })
    })
    return edges
  }

  /** place gives each step its place in time: after the stage before it, and after what that one called. */
  private place(lanes: Lane[]) {
    const starts = new Map<Lane, number>()
    lanes.forEach((lane, i) => {
      let at = starts.get(lane) ?? 0
      for (const stage of lane.stages) {
        let end = at + 1
        stage.forEach((step, beside) => {
          let inner = at
          for (const called of step.turns.map((l) => this.lanes[l]!)) {
            if (called === lane || starts.has(called)) continue
            starts.set(called, inner)
            inner += called.stages.length
          }
          Object.assign(step, { lane: i, at, beside })
          end = Math.max(end, inner)
        })
        at = end
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
  const lead = (a: Stage | undefined, b: Stage) => a?.forEach((from) => b.forEach((to) => edges.push({ from: from.id, to: to.id, way: 'next' })))
  for (let i = 0; i < stages.length; ) {
    const loop = longestLoop(stages, i)
    const body = stages.slice(i, i + loop.period)
    for (let round = 1; round < loop.times; round++) body.forEach((stage, k) => take(stage, stages[i + round * loop.period + k]!))
    body.forEach((stage, k) => lead(k ? body[k - 1] : out.at(-1), stage))
    if (loop.times > 1 && loop.period > 1) edges.push({ from: body.at(-1)![0]!.id, to: body[0]![0]!.id, way: 'loop', again: loop.times })
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
