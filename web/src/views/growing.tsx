// A trace while its call is not over: its spans show as they end.
import { useCallback, useMemo, useState } from 'react'
import { useData } from '../api'
import { count, duration } from '../format'
import { type Item, useLive } from '../live'
import { Tree } from '../trace/tree'
import type { Trace } from '../trace/types'
import { Waterfall } from '../trace/waterfall'
import { Figure, Link } from '../ui'
import { href, navigate } from '../url'

export default function Growing({ id, busy }: { id: string; busy: boolean }) {
  const [begun, setBegun] = useState('')
  const { data: trace, reload } = useData<Trace>(begun === id ? '/v1/traces/' + id : null, busy ? 1000 : 3000)
  useLive(
    useCallback((i: Item) => i.traceId === id, [id]),
    useCallback(() => (setBegun(id), reload()), [id, reload]),
  )
  const tree = useMemo(() => new Tree(trace?.spans ?? []), [trace?.spans.length, id])
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set())
  const rows = useMemo(() => tree.rows({ noise: false, folded, filter: '' }), [tree, folded])
  const fold = useCallback((span: string) => setFolded((old) => (old.has(span) ? new Set([...old].filter((x) => x !== span)) : new Set(old).add(span))), [])
  const open = (span: string) => span && navigate(href('/traces/' + id, { span }))
  return (
    <section className="growing" aria-label="Trace">
      <div className="bar">
        <h2>Trace</h2>
        {trace && (
          <span className="dim">
            <Figure of={count(trace.spans.length - trace.hidden)} /> spans, <Figure of={duration(tree.length)} />
            {busy && ', growing'}
          </span>
        )}
        <span className="grow" />
        <Link to={href('/traces/' + id)} className="link">
          Open the trace
        </Link>
      </div>
      {tree.spans.length > 0 ? (
        <Waterfall tree={tree} rows={rows} selected="" select={open} fold={fold} zoom={{ from: 0, to: tree.length || 1 }} setZoom={() => {}} logCount={() => 0} />
      ) : (
        <div className="panel waterfall waiting" aria-busy />
      )}
    </section>
  )
}
