// From spans to the rows of a waterfall: what is folded, hidden or filtered, which part of a span is its
// own time, and which spans the trace's length hangs on. All times are in ms from the trace's start.
import type { Log, Span } from './types'

export interface Row {
  span: Span
  depth: number
  children: number // that would show if it were unfolded
  folded: boolean
  log?: Log // a line that the span wrote, in place of the span
}

export interface Interval {
  from: number
  to: number
}

export interface Shown {
  noise: boolean
  folded: ReadonlySet<string>
  filter: string
  logs?: Map<string, Log[]> // by span; absent where they are not shown
}

const endOf = (s: Span) => s.offsetMs + s.durationMs

/** Tree knows who called whom. Spans come with parents before their children. */
export class Tree {
  readonly byId = new Map<string, Span>()
  readonly roots: Span[] = []
  private readonly below = new Map<string, Span[]>()
  readonly length: number

  constructor(readonly spans: Span[]) {
    for (const s of spans) this.byId.set(s.spanId, s)
    for (const s of spans) {
      if (!s.parentId || !this.byId.has(s.parentId)) {
        this.roots.push(s)
        continue
      }
      const siblings = this.below.get(s.parentId)
      siblings ? siblings.push(s) : this.below.set(s.parentId, [s])
    }
    this.length = spans.reduce((end, s) => Math.max(end, endOf(s)), 0)
  }

  children(s: Span): Span[] {
    return this.below.get(s.spanId) ?? []
  }

  /** shownChildren are the nearest spans below s that are no noise, if noise is hidden. */
  shownChildren(s: Span, noise: boolean): Span[] {
    const direct = this.children(s)
    if (noise) return direct
    return direct.flatMap((c) => (c.noise ? this.shownChildren(c, false) : [c]))
  }

  /** rows lists what a waterfall shows, in order. A filter keeps what matches, and the way to it. */
  rows({ noise, folded, filter, logs }: Shown): Row[] {
    const keep = filter ? this.matching(filter.toLowerCase()) : undefined
    const out: Row[] = []
    const stack = this.top(noise)
      .reverse()
      .map((span) => ({ span, depth: 0 }))
    for (let next = stack.pop(); next; next = stack.pop()) {
      const { span, depth } = next
      if (keep && !keep.has(span.spanId)) continue
      const children = this.shownChildren(span, noise)
      const closed = !keep && folded.has(span.spanId)
      out.push({ span, depth, children: children.length, folded: closed })
      if (closed) continue
      for (const log of logs?.get(span.spanId) ?? []) out.push({ span, depth: depth + 1, children: 0, folded: false, log })
      for (let i = children.length - 1; i >= 0; i--) stack.push({ span: children[i]!, depth: depth + 1 })
    }
    return out
  }

  private top(noise: boolean): Span[] {
    return noise ? [...this.roots] : this.roots.flatMap((r) => (r.noise ? this.shownChildren(r, false) : [r]))
  }

  private matching(text: string): Set<string> {
    const keep = new Set<string>()
    for (const s of this.spans) {
      if (![s.name, s.kind, s.spanId, s.model?.name, s.tool?.name, s.agent, s.error].some((f) => f?.toLowerCase().includes(text))) continue
      for (let at: Span | undefined = s; at && !keep.has(at.spanId); at = at.parentId ? this.byId.get(at.parentId) : undefined) keep.add(at.spanId)
    }
    return keep
  }

  /** selfTime is where a span ran and none of its children did. */
  selfTime(s: Span): Interval[] {
    const out: Interval[] = []
    let at = s.offsetMs
    for (const c of [...this.children(s)].sort((a, b) => a.offsetMs - b.offsetMs)) {
      if (c.offsetMs > at) out.push({ from: at, to: Math.min(c.offsetMs, endOf(s)) })
      at = Math.max(at, endOf(c))
      if (at >= endOf(s)) return out
    }
    out.push({ from: at, to: endOf(s) })
    return out
  }

  /** criticalPath is what the trace's length hangs on: a shorter step there makes a shorter trace. */
  criticalPath(): Map<string, Interval[]> {
    const out = new Map<string, Interval[]>()
    const mark = (id: string, from: number, to: number) => {
      if (to <= from) return
      const had = out.get(id)
      had ? had.push({ from, to }) : out.set(id, [{ from, to }])
    }
    const walk: { span: Span; until: number }[] = this.roots.filter((r) => endOf(r) >= this.length).slice(0, 1).map((span) => ({ span, until: endOf(span) }))
    for (let next = walk.pop(); next; next = walk.pop()) {
      let at = next.until
      for (const c of [...this.children(next.span)].sort((a, b) => endOf(b) - endOf(a))) {
        if (endOf(c) > at || c.durationMs === 0) continue
        mark(next.span.spanId, endOf(c), at)
        walk.push({ span: c, until: endOf(c) })
        at = c.offsetMs
      }
      mark(next.span.spanId, next.span.offsetMs, at)
    }
    return out
  }
}

/** ticks are round numbers across a range, as many as fit. */
export function ticks(from: number, to: number, most: number): number[] {
  const rough = (to - from) / Math.max(1, most)
  if (rough <= 0) return []
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough)!
  const out: number[] = []
  for (let i = Math.ceil(from / step); i * step <= to; i++) out.push(Number((i * step).toPrecision(12)))
  return out
}
