// One small chart. All charts of a page share a cursor and the time, and dragging across one sets that.
import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Quantity } from './format'
import { useRange } from './ranges'

export interface Line {
  label: string
  color: string // a custom property's name, such as --model
  values: (number | null)[] // one for each of the chart's times
  stepped?: boolean // a measure that holds until the next
  show?: (v: number) => Quantity // of a second scale, to the right
}

interface Props {
  title: string
  lines: Line[]
  times: number[] // seconds, evenly apart
  show: (v: number) => Quantity
  bars?: boolean // stacked, for what is counted
  total?: (values: (number | null)[]) => number // what a legend says of a line while nothing is pointed at; else its last value
  empty?: string
}

const high = 132

export const sum = (values: (number | null)[]) => values.reduce<number>((all, v) => all + (v ?? 0), 0)
const last = (values: (number | null)[]) => values.findLast((v) => v !== null) ?? null

export function Chart({ title, lines, times, show, bars = false, total, empty = 'Nothing in this time' }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const legend = useRef<HTMLUListElement>(null)
  const [, setRange] = useRange()
  useEffect(() => {
    const element = box.current!
    const labels = [...legend.current!.querySelectorAll('output')]
    const say = (at: number | null | undefined) => {
      lines.forEach((l, i) => (labels[i]!.textContent = text(at == null ? (total ? total(l.values) : last(l.values)) : (l.values[at] ?? null), l.show ?? show)))
    }
    const plot = new uPlot(options(element, lines, times, show, bars, say, setRange), [times, ...(bars ? stacked(lines) : lines.map((l) => l.values))] as uPlot.AlignedData, element)
    say(null)
    const watch = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: high }))
    watch.observe(element)
    return () => {
      watch.disconnect()
      plot.destroy()
    }
  }, [lines, times, show, bars])
  const nothing = lines.every((l) => l.values.every((v) => !v))
  return (
    <section className="panel chart">
      <header>
        <h2>{title}</h2>
      </header>
      <ul className="legend" ref={legend}>
        {lines.map((l) => (
          <li key={l.label}>
            <i style={{ background: `var(${l.color})` }} /> <span className="cut">{l.label}</span> <output className="num" />
          </li>
        ))}
      </ul>
      <div ref={box} role="img" aria-label={`${title}: ${lines.map((l) => l.label).join(', ')}`} />
      {nothing && <p className="chart-empty dim">{empty}</p>}
    </section>
  )
}

function text(v: number | null, show: (v: number) => Quantity): string {
  if (v === null) return '–'
  const q = show(v)
  return q.value + (q.unit && ' ' + q.unit)
}

/** stacked adds the lines up from below; the first is drawn last, in front. */
function stacked(lines: Line[]): number[][] {
  const below = lines[0]?.values.map(() => 0) ?? []
  return lines.map((l) => l.values.map((v, i) => (below[i] = below[i]! + (v ?? 0)))).reverse()
}

function options(element: HTMLElement, lines: Line[], times: number[], show: Props['show'], bars: boolean, say: (at: number | null | undefined) => void, setRange: (text: string) => void): uPlot.Options {
  const css = getComputedStyle(document.documentElement)
  const color = (name: string) => paint(css.getPropertyValue(name))
  const step = times.length > 1 ? times[1]! - times[0]! : 60
  const axis: uPlot.Axis = { stroke: color('--dim'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '12px ui-monospace, monospace' }
  const second = lines.find((l) => l.show)?.show
  const drawn = bars ? [...lines].reverse() : lines
  return {
    width: element.clientWidth,
    height: high,
    padding: [8, lines.some((l) => l.show) ? 0 : 22, 0, 0],
    cursor: { sync: { key: 'moorage' }, points: { size: 5 }, y: false, drag: { x: true, y: false, setScale: false } },
    legend: { show: false },
    scales: {
      x: { range: [times[0] ?? 0, (times.at(-1) ?? 0) + (bars ? step : 0)] },
      y: { range: fromZero },
      second: { range: fromZero },
    },
    axes: [
      { ...axis, size: 26, gap: 6, space: 64, values: (_u, at) => at.map((t) => moment(t, times)) },
      { ...axis, size: 60, gap: 6, space: 34, values: (_u, at) => at.map((v) => text(v, compact(show))) },
      ...(second ? [{ ...axis, scale: 'second', side: 1 as const, size: 60, gap: 6, space: 34, grid: { show: false }, values: (_u: uPlot, at: number[]) => at.map((v) => text(v, second)) }] : []),
    ],
    series: [
      {},
      ...drawn.map((l): uPlot.Series => ({
        stroke: color(l.color), width: bars ? 0 : 1.5, fill: bars ? color(l.color) : undefined, scale: l.show ? 'second' : 'y', spanGaps: false,
        paths: bars ? uPlot.paths.bars!({ size: [0.8, 24], align: 1 }) : l.stepped ? uPlot.paths.stepped!({ align: 1 }) : undefined, points: { show: bars ? false : lonely(l.values), size: 4 },
      })),
    ],
    hooks: {
      setCursor: [(u) => say(u.cursor.idx)],
      setSelect: [
        (u) => {
          if (u.select.width < 8) return
          const at = (px: number) => Math.round(u.posToVal(px, 'x'))
          setRange(`${at(u.select.left)}-${Math.max(at(u.select.left) + 60, at(u.select.left + u.select.width))}`)
        },
      ],
    },
  }
}

const fromZero = (_u: uPlot, _min: number, max: number): [number, number] => [0, max > 0 ? max * 1.1 : 1]

/** compact writes large numbers of an axis in thousands. */
const compact = (show: Props['show']) => (v: number): Quantity => {
  const q = show(v)
  if (q.unit || v < 10_000 || q.value.startsWith('$')) return q
  return v < 1e6 ? { value: `${Number((v / 1e3).toPrecision(3))}`, unit: 'k' } : { value: `${Number((v / 1e6).toPrecision(3))}`, unit: 'M' }
}

/** lonely shows the points that no line leads to. */
const lonely = (values: (number | null)[]) => (_u: uPlot, _series: number, from: number, to: number) =>
  values.some((v, i) => i >= from && i <= to && v !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null)

/** moment is a time on the axis: an hour and minute, and the day where there are several. */
function moment(t: number, times: number[]): string {
  const d = new Date(t * 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  const clock = `${two(d.getHours())}:${two(d.getMinutes())}`
  const days = ((times.at(-1) ?? t) - (times[0] ?? t)) / 86400
  return days > 1.1 ? `${d.getDate()} ${d.toLocaleString('en', { month: 'short' })}` : clock
}

/** paint turns a colour of the theme into one that a canvas knows: six hexadecimal digits. */
function paint(value: string): string {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!
  const holder = document.createElement('span')
  holder.style.color = value
  document.body.append(holder)
  probe.fillStyle = getComputedStyle(holder).color
  holder.remove()
  probe.fillRect(0, 0, 1, 1)
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data
  return '#' + [r, g, b].map((n) => n!.toString(16).padStart(2, '0')).join('')
}
