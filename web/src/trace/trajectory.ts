// From spans to the way that a team of agents took: one lane per agent, its steps from left to right, and
// what repeats drawn once.
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
  calls: number[] // the lanes that this step hands over to, each once, in order
  turns: number[] // the same, each time
}

export interface Lane {
  agent: string
  spans: Span[] // each run of the agent
  parent?: number
  steps: Step[]
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
  if (s.kind === 'model') return s.model?.name ?? s.name
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
      const inner = this.lane(agentName(span), lane, span)
      if (caller && inner !== lane) caller.turns.push(inner)
      lane = inner
      step = undefined
    } else if (stepKinds.has(span.kind) && !this.isWrapped(span)) {
      lane ??= this.lane('agent', undefined, span)
      step = { id: span.spanId, name: label(span), kind: span.kind, spans: [span], lane, column: 0, calls: [], turns: [] }
      this.lanes[lane]!.steps.push(step)
    }
    for (const child of [...this.tree.children(span)].sort((a, b) => a.offsetMs - b.offsetMs)) this.visit(child, lane, step)
  }

  /** isWrapped reports whether an inner span reports the same call of a model: one card is enough. */
  private isWrapped(span: Span): boolean {
    let at = span.parentId ? this.tree.byId.get(span.parentId) : undefined
    for (; at && !isAgent(at); at = at.parentId ? this.tree.byId.get(at.parentId) : undefined) if (at.kind === span.kind && span.kind === 'model') return true
    return false
  }

  private lane(agent: string, parent: number | undefined, span: Span): number {
    const known = this.byName.get(agent)
    if (known !== undefined) {
      this.lanes[known]!.spans.push(span)
      return known
    }
    this.byName.set(agent, this.lanes.length)
    return this.lanes.push({ agent, spans: [span], parent, steps: [] }) - 1
  }

  finish(): Trajectory {
    const edges: Edge[] = []
    for (const lane of this.lanes) {
      const folded = foldLoops(lane.steps)
      lane.steps = folded.steps
      edges.push(...folded.edges)
    }
    for (const step of this.lanes.flatMap((l) => l.steps)) edges.push(...this.handOver(step))
    const lanes = this.lanes.filter((l) => l.steps.length > 0)
    this.place(lanes)
    return { lanes, steps: lanes.flatMap((l) => l.steps), edges: unique(edges) }
  }

  /** handOver leads from a step to the agents that it calls, one after the other, and back where they take turns. */
  private handOver(step: Step): Edge[] {
    step.calls = [...new Set(step.turns)].filter((l) => this.lanes[l]!.steps.length > 0)
    const [first] = step.calls
    if (first === undefined) return []
    const edges: Edge[] = [{ from: step.id, to: this.lanes[first]!.steps[0]!.id }]
    const seen = new Set([first])
    for (let i = 1; i < step.turns.length; i++) {
      const [before, now] = [this.lanes[step.turns[i - 1]!]!, this.lanes[step.turns[i]!]!]
      if (before === now || !before.steps.length || !now.steps.length) continue
      const back = seen.has(step.turns[i]!)
      seen.add(step.turns[i]!)
      const again = step.turns.filter((l) => l === step.turns[i]).length
      edges.push({ from: before.steps.at(-1)!.id, to: now.steps[0]!.id, again: back ? again : undefined })
    }
    return edges
  }

  /** place gives each step a column: after the step before it, and after the one that called its lane. */
  private place(lanes: Lane[]) {
    const starts = new Map<Lane, number>()
    lanes.forEach((lane, i) => {
      let column = starts.get(lane) ?? 0
      for (const step of lane.steps) {
        step.lane = i
        step.column = column
        let inner = column
        for (const called of step.calls.map((l) => this.lanes[l]!)) {
          if (called === lane || starts.has(called)) continue
          starts.set(called, inner)
          inner += called.steps.length
        }
        column = Math.max(column + 1, inner)
      }
    })
  }
}

function unique(edges: Edge[]): Edge[] {
  const byEnds = new Map<string, Edge>()
  for (const e of edges) if (!byEnds.has(e.from + e.to)) byEnds.set(e.from + e.to, e)
  return [...byEnds.values()]
}

const same = (a: Step, b: Step) => a.kind === b.kind && a.name === b.name && String(a.turns) === String(b.turns)

/** foldLoops draws steps that repeat once. A card keeps all the times that it was taken. */
function foldLoops(steps: Step[]): { steps: Step[]; edges: Edge[] } {
  const out: Step[] = []
  const edges: Edge[] = []
  for (let i = 0; i < steps.length; ) {
    const loop = longestLoop(steps, i)
    const body = steps.slice(i, i + loop.period)
    for (let round = 1; round < loop.times; round++) body.forEach((s, k) => s.spans.push(...steps[i + round * loop.period + k]!.spans))
    if (out.length && body.length) edges.push({ from: out.at(-1)!.id, to: body[0]!.id })
    body.slice(1).forEach((s, k) => edges.push({ from: body[k]!.id, to: s.id }))
    if (loop.times > 1) edges.push({ from: body.at(-1)!.id, to: body[0]!.id, again: loop.times })
    out.push(...body)
    i += loop.period * loop.times
  }
  return { steps: out, edges }
}

/** longestLoop finds how often the steps from i on repeat, with a body of up to six. */
function longestLoop(steps: Step[], i: number): { period: number; times: number } {
  let best = { period: 1, times: 1 }
  for (let period = 1; period <= 6 && i + 2 * period <= steps.length; period++) {
    let times = 1
    while (i + (times + 1) * period <= steps.length && range(period).every((k) => same(steps[i + k]!, steps[i + times * period + k]!))) times++
    if (times > 1 && period * times > best.period * best.times) best = { period, times }
  }
  return best
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i)
