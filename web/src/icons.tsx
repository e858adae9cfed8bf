// Sixteen-pixel line icons for the rail.
const icon = (d: string) => (
  <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" aria-hidden>
    <path d={d} />
  </svg>
)

export const icons = {
  runtimes: icon('M2.5 3.5h11v4h-11zM2.5 9.5h11v3h-11zM5 5.5h.01M5 11h.01'),
  sessions: icon('M2.5 3.5h11v7h-6l-3 2.5v-2.5h-2z'),
  traces: icon('M2.5 4h8M4.5 8h8M7.5 12h6'),
  logs: icon('M3 3.5h10M3 6.5h10M3 9.5h7M3 12.5h8'),
  metrics: icon('M2.5 13.5v-11M2.5 13.5h11M5 10.5l2.5-3 2 2 3.5-5'),
  play: icon('M5 3.5l7.5 4.5L5 12.5z'),
  copy: icon('M5.5 5.5h7v7h-7zM3.5 10.5v-7h7'),
  done: icon('M3.5 8.5l3 3 6-7'),
  theme: icon('M8 2.5a5.5 5.5 0 100 11zM8 2.5a5.5 5.5 0 010 11'),
  identity: icon('M8 8a2.5 2.5 0 100-5 2.5 2.5 0 000 5zM3 13.5c.5-2.5 2.5-3.5 5-3.5s4.5 1 5 3.5'),
}
