// The waterfall: a tree of spans beside their times. Only the rows in sight are in the page.
import { useVirtualizer } from '@tanstack/react-virtual'
import { type CSSProperties, type KeyboardEvent, memo, type PointerEvent, type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { duration } from '../format'
import { Figure } from '../ui'
import { model } from './names'
import { Text } from './text'
import { type Interval, type Row, ticks, type Tree } from './tree'

export interface Zoom {
  from: number
  to: number
}

interface Props {
  tree: Tree
  rows: Row[]
  selected: string
  select: (id: string) => void
  fold: (id: string) => void
  zoom: Zoom
  setZoom: (z?: Zoom) => void
  playhead?: number
  logCount: (span: string) => number
  children?: ReactNode // under the times
}

const rowHeight = 28

export function Waterfall({ tree, rows, selected, select, fold, zoom, setZoom, playhead, logCount, children }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => rowHeight, overscan: 12 })
  const path = useMemo(() => tree.criticalPath(), [tree])
  const begin = useMemo(() => (tree.spans[0] ? Date.parse(tree.spans[0].start) - tree.spans[0].offsetMs : 0), [tree])
  const at = useMemo(() => rows.findIndex((r) => r.span.spanId === selected && !r.log), [rows, selected])
  useEffect(() => {
    if (at >= 0) virtual.scrollToIndex(at, { align: 'auto' })
  }, [at, virtual])

  const keys = (e: KeyboardEvent) => {
    const row = rows[at]
    const move = (i: number) => rows[i] && select(rows[i].span.spanId)
    const keys: Record<string, () => void> = {
      ArrowDown: () => move(at + 1),
      ArrowUp: () => move(Math.max(0, at - 1)),
      j: () => move(at + 1),
      k: () => move(Math.max(0, at - 1)),
      Home: () => move(0),
      End: () => move(rows.length - 1),
      ArrowLeft: () => row && (row.children && !row.folded ? fold(row.span.spanId) : row.span.parentId && select(row.span.parentId)),
      ArrowRight: () => row?.folded && fold(row.span.spanId),
      f: () => row?.children && fold(row.span.spanId),
      Enter: () => (row ? document.querySelector<HTMLElement>('.span-panel')?.focus() : move(0)),
      Escape: () => select(''),
    }
    const act = keys[e.key]
    if (!act || e.metaKey || e.ctrlKey || e.altKey) return
    e.preventDefault()
    act()
  }

  return (
    <div className="waterfall">
      <Axis zoom={zoom} setZoom={setZoom} />
      <div className="rows" ref={box} tabIndex={0} role="tree" aria-label="Spans" aria-activedescendant={at >= 0 ? 'span-' + selected : undefined} onKeyDown={keys}>
        <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index]!
            if (row.log) return <LogLine key={row.log.id} row={row} top={item.start} zoom={zoom} begin={begin} select={select} />
            return (
              <Line
                key={row.span.spanId}
                row={row}
                top={item.start}
                tree={tree}
                zoom={zoom}
                critical={path.get(row.span.spanId)}
                selected={row.span.spanId === selected}
                select={select}
                fold={fold}
                logs={logCount(row.span.spanId)}
              />
            )
          })}
          {playhead !== undefined && (
            <div className="times playhead-lane">
              <div className="playhead" style={{ left: percent(playhead, zoom) }} />
            </div>
          )}
        </div>
      </div>
      {children}
    </div>
  )
}

/** LogLine is a line of the log below the span that wrote it, with a mark where it was written. */
function LogLine({ row, top, zoom, begin, select }: { row: Row; top: number; zoom: Zoom; begin: number; select: (id: string) => void }) {
  const log = row.log!
  const at = Date.parse(log.time) - begin
  return (
    <div className={'span-row log-row ' + log.stream} style={{ transform: `translateY(${top}px)` }} onClick={() => select(row.span.spanId)} title={log.message}>
      <div className="name" style={{ paddingLeft: 30 + Math.min(row.depth, 16) * 14 }}>
        <span className="cut mono dim">
          <Text of={log.message} />
        </span>
      </div>
      <div className="times">{at >= zoom.from && at <= zoom.to && <div className="log-mark" style={{ left: percent(at, zoom) }} />}</div>
    </div>
  )
}

const percent = (t: number, z: Zoom) => `${(100 * (t - z.from)) / (z.to - z.from)}%`

interface LineProps {
  row: Row
  top: number
  tree: Tree
  zoom: Zoom
  critical?: Interval[]
  selected: boolean
  select: (id: string) => void
  fold: (id: string) => void
  logs: number
}

const Line = memo(function Line({ row, top, tree, zoom, critical, selected, select, fold, logs }: LineProps) {
  const { span } = row
  const self = useMemo(() => tree.selfTime(span), [tree, span])
  const share = (t: number) => (100 * (t - zoom.from)) / (zoom.to - zoom.from)
  const [begin, end] = [share(span.offsetMs), share(span.offsetMs + span.durationMs)]
  return (
    <div
      id={'span-' + span.spanId}
      role="treeitem"
      aria-level={row.depth + 1}
      aria-selected={selected}
      aria-expanded={row.children ? !row.folded : undefined}
      className={`span-row kind-${span.kind}${selected ? ' selected' : ''}${span.status === 'error' ? ' failed' : ''}`}
      style={{ transform: `translateY(${top}px)` }}
      onClick={() => select(span.spanId)}
      onDoubleClick={() => row.children && fold(span.spanId)}
    >
      <div className="name" style={{ paddingLeft: 8 + Math.min(row.depth, 16) * 14, '--depth': Math.min(row.depth, 16) } as CSSProperties}>
        {row.children ? (
          <button
            className="caret"
            tabIndex={-1}
            aria-label={row.folded ? 'Unfold' : 'Fold'}
            onClick={(e) => {
              e.stopPropagation()
              fold(span.spanId)
            }}
          >
            {row.folded ? '▸' : '▾'}
          </button>
        ) : (
          <span className="caret" />
        )}
        <span className="mark" title={span.kind} />
        <span className="cut title">
          <Text of={span.name} />
        </span>
        {row.folded && <span className="dim num">+{row.children}</span>}
        {span.status === 'error' && <span className="status bad" title={span.error}><span className="hidden-text">failed</span></span>}
        {logs > 0 && (
          <span className="lines num" title={logs === 1 ? 'one log line' : `${logs} log lines`}>
            {logs}
          </span>
        )}
        {span.model?.name && !span.name.includes(span.model.name) && <span className="dim cut model-name">{model(span.model.name)}</span>}
      </div>
      <div className="times">
        <Bar of={{ from: span.offsetMs, to: span.offsetMs + span.durationMs }} zoom={zoom} className="wait" />
        {self.map((s) => (
          <Bar key={s.from} of={s} zoom={zoom} className="self" />
        ))}
        {critical?.map((s) => (
          <Bar key={s.from} of={s} zoom={zoom} className="critical" />
        ))}
        <span className={'took num ' + (end < 86 ? 'after' : begin > 14 ? 'before' : 'inside')} style={end < 86 ? { left: `${Math.max(0, end)}%` } : begin > 14 ? { right: `${100 - Math.min(100, begin)}%` } : { right: 0 }}>
          <Figure of={duration(span.durationMs)} />
        </span>
      </div>
    </div>
  )
})

function Bar({ of, zoom, className }: { of: Interval; zoom: Zoom; className: string }) {
  const from = Math.max(of.from, zoom.from)
  const to = Math.min(of.to, zoom.to)
  if (to < zoom.from || from > zoom.to) return null
  const width = zoom.to - zoom.from
  return <div className={'span-bar ' + className} style={{ left: `${(100 * (from - zoom.from)) / width}%`, width: `${(100 * Math.max(0, to - from)) / width}%` }} />
}

/** Axis labels the time. Dragging across it zooms in; a double click shows the whole again. */
function Axis({ zoom, setZoom }: { zoom: Zoom; setZoom: (z?: Zoom) => void }) {
  const box = useRef<HTMLDivElement>(null)
  const [drag, setDrag] = useState<{ from: number; to: number }>()
  const [wide, setWide] = useState(600)
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWide(entry!.contentRect.width))
    watch.observe(box.current!)
    return () => watch.disconnect()
  }, [])
  const timeAt = useCallback(
    (e: PointerEvent) => {
      const r = box.current!.getBoundingClientRect()
      const share = Math.min(1, Math.max(0, (e.clientX - r.left) / r.width))
      return zoom.from + share * (zoom.to - zoom.from)
    },
    [zoom],
  )
  const end = () => {
    if (drag && Math.abs(drag.to - drag.from) > (zoom.to - zoom.from) / 100) setZoom({ from: Math.min(drag.from, drag.to), to: Math.max(drag.from, drag.to) })
    setDrag(undefined)
  }
  return (
    <div className="axis">
      <div className="name dim">Drag to zoom, double-click to fit</div>
      <div
        className="times"
        ref={box}
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId)
          setDrag({ from: timeAt(e), to: timeAt(e) })
        }}
        onPointerMove={(e) => drag && setDrag({ ...drag, to: timeAt(e) })}
        onPointerUp={end}
        onPointerCancel={() => setDrag(undefined)}
        onDoubleClick={() => setZoom()}
      >
        {ticks(zoom.from, zoom.to, wide / 90)
          .filter((t) => (wide * (t - zoom.from)) / (zoom.to - zoom.from) < wide - 48) // whose words would be cut
          .map((t) => (
          <span key={t} className="tick num" style={{ left: percent(t, zoom) }}>
            <Figure of={t === 0 ? { value: '0', unit: 's' } : duration(t)} />
          </span>
        ))}
        {drag && <div className="drag" style={{ left: percent(Math.min(drag.from, drag.to), zoom), right: `calc(100% - ${percent(Math.max(drag.from, drag.to), zoom)})` }} />}
      </div>
    </div>
  )
}
