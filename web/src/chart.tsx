// One small chart. All charts of a page share a cursor and the time range.
import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Quantity } from './format'

export interface Line {
  label: string
  color: string // a custom property's name, such as --model
  points: Map<number, number> // by second
  filled?: boolean
}

interface Props {
  title: string
  lines: Line[]
  from: number // seconds
  to: number
  show: (v: number) => Quantity
}

const cursor = uPlot.sync('moorage')

export function Chart({ title, lines, from, to, show }: Props) {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = box.current!
    const times = [...new Set(lines.flatMap((l) => [...l.points.keys()]))].sort((a, b) => a - b)
    const text = (v: number | null | undefined) => {
      if (v == null) return '–'
      const q = show(v)
      return q.value + (q.unit && ' ' + q.unit)
    }
    const css = getComputedStyle(document.documentElement)
    const color = (name: string) => paint(css.getPropertyValue(name))
    const axis = { stroke: color('--dim'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '11px ui-monospace, monospace' }
    const plot = new uPlot(
      {
        width: element.clientWidth, height: 150,
        cursor: { sync: { key: cursor.key }, points: { size: 5 } },
        legend: { live: true },
        scales: { x: { min: from, max: to }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
        axes: [axis, { ...axis, size: 60, values: (_u, at) => at.map(text) }],
        series: [
          { value: (_u, v) => (v == null ? '' : new Date(v * 1000).toLocaleTimeString()) },
          ...lines.map((l) => ({ label: l.label, stroke: color(l.color), width: 1.5, fill: l.filled ? color(l.color) + '33' : undefined, spanGaps: false, value: (_u: uPlot, v: number) => text(v), points: { show: times.length < 40, size: 4 } })),
        ],
      },
      [times, ...lines.map((l) => times.map((t) => l.points.get(t) ?? null))] as uPlot.AlignedData,
      element,
    )
    const watch = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 150 }))
    watch.observe(element)
    return () => {
      watch.disconnect()
      plot.destroy()
    }
  }, [lines, from, to, show])
  const empty = lines.every((l) => l.points.size === 0)
  return (
    <section className="panel chart">
      <header>
        <h2>{title}</h2>
      </header>
      <div ref={box} role="img" aria-label={`${title}: ${lines.map((l) => l.label).join(', ')}`} />
      {empty && <p className="chart-empty dim">Nothing in this time</p>}
    </section>
  )
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
