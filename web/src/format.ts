// Numbers as engineers read them: three significant figures, the unit apart.

export interface Quantity {
  value: string
  unit: string
}

const thin = '\u2009'

function figures(n: number): string {
  if (n === 0) return '0'
  if (Math.abs(n) >= 1000) return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, thin)
  return Number(n.toPrecision(3)).toString()
}

export function duration(ms: number): Quantity {
  if (ms < 1) return { value: figures(ms * 1000), unit: 'µs' }
  if (ms < 1000) return { value: figures(ms), unit: 'ms' }
  if (ms < 120_000) return { value: figures(ms / 1000), unit: 's' }
  if (ms < 7_200_000) return { value: figures(ms / 60_000), unit: 'min' }
  return { value: figures(ms / 3_600_000), unit: 'h' }
}

export function bytes(n: number): Quantity {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let i = 0
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000
    i++
  }
  return { value: figures(n), unit: units[i]! }
}

export const count = (n: number): Quantity => ({ value: figures(n), unit: '' })

export function money(usd: number): Quantity {
  return { value: usd === 0 ? '$0' : usd < 0.01 ? `$${usd.toPrecision(2)}` : `$${usd.toFixed(2)}`, unit: '' }
}

/** ago says how long something is past, in words. */
export function ago(at: string | number | Date, now = Date.now()): string {
  const s = Math.max(0, Math.round((now - new Date(at).getTime()) / 1000))
  if (s < 5) return 'now'
  if (s < 60) return `${s} s ago`
  if (s < 3600) return `${Math.round(s / 60)} min ago`
  if (s < 86400) return `${Math.round(s / 3600)} h ago`
  return `${Math.round(s / 86400)} d ago`
}

export function clock(at: string | number | Date): string {
  const d = new Date(at)
  const two = (n: number, w = 2) => String(n).padStart(w, '0')
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${two(d.getMilliseconds(), 3)}`
}

/** short keeps the beginning of an id. */
export const short = (id: string, n = 8): string => (id.length > n + 1 ? id.slice(0, n) + '…' : id)
