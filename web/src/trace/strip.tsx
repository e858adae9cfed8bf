// What the session took of the machine while a trace ran, under its times.
import { useData } from '../api'
import { bytes } from '../format'
import type { Trace } from './types'
import type { Zoom } from './waterfall'

interface Sample {
  time: string
  cpu: number
  memoryBytes: number
}

const high = 28
const wide = 1000

export function Strip({ trace, zoom }: { trace: Trace; zoom: Zoom }) {
  const begin = Date.parse(trace.start)
  const since = new Date(begin - 1000).toISOString()
  const over = Date.now() - Date.parse(trace.end) > 10_000
  const until = over ? '&until=' + encodeURIComponent(new Date(Date.parse(trace.end) + 2000).toISOString()) : ''
  const { data } = useData<{ samples: Sample[] }>(trace.sessionId ? `/v1/sessions/${encodeURIComponent(trace.sessionId)}/usage?since=${encodeURIComponent(since)}${until}` : null, over ? 0 : 1000)
  const end = begin + zoom.to
  const samples = (data?.samples ?? []).map((s) => ({ ...s, at: Date.parse(s.time) })).filter((s) => s.at < Math.max(end, Date.parse(trace.end)) + 1500)
  if (samples.length < 2) return null
  const x = (at: number) => (wide * (at - begin - zoom.from)) / (zoom.to - zoom.from)
  const cpuMost = Math.max(0.1, ...samples.map((s) => s.cpu))
  const memoryMost = Math.max(1, ...samples.map((s) => s.memoryBytes))
  const line = (value: (s: Sample) => number) => samples.map((s, i) => `${i ? 'L' : 'M'}${x(s.at).toFixed(1)} ${(high - 2 - value(s) * (high - 5)).toFixed(1)}`).join('')
  const cpu = line((s) => s.cpu / cpuMost)
  const peak = bytes(memoryMost)
  return (
    <div className="strip">
      <div className="name">
        <span className="key cpu" /> CPU <span className="num">{cpuMost.toPrecision(2)}</span>
        <span className="key memory" /> memory <span className="num">{peak.value} {peak.unit}</span>
        <span className="dim wide"> at most</span>
      </div>
      <div className="times">
        <svg viewBox={`0 0 ${wide} ${high}`} preserveAspectRatio="none" role="img" aria-label={`CPU at most ${cpuMost.toPrecision(2)} processors, memory at most ${peak.value} ${peak.unit}`}>
          <path d={`${cpu}L${x(samples.at(-1)!.at).toFixed(1)} ${high}L${x(samples[0]!.at).toFixed(1)} ${high}Z`} fill="color-mix(in oklch, var(--agent), transparent 75%)" />
          <path d={cpu} fill="none" stroke="var(--agent)" vectorEffect="non-scaling-stroke" />
          <path d={line((s) => s.memoryBytes / memoryMost)} fill="none" stroke="var(--retrieval)" vectorEffect="non-scaling-stroke" />
        </svg>
      </div>
    </div>
  )
}
