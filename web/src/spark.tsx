// A line as high as a word.
interface Props {
  values: (number | null)[]
  color: string // a custom property's name, such as --model
  label: string
}

const wide = 96
const high = 20

export function Spark({ values, color, label }: Props) {
  const most = Math.max(1, ...values.map((v) => v ?? 0))
  const step = wide / Math.max(1, values.length)
  const bar = (v: number, i: number) => {
    const h = Math.max(1.5, (v / most) * (high - 1))
    return `M${(i * step).toFixed(1)} ${high - h}h${Math.max(1, step - 0.6).toFixed(1)}v${h.toFixed(1)}h${-Math.max(1, step - 0.6).toFixed(1)}z`
  }
  const path = values.map((v, i) => (v ? bar(v, i) : '')).join('')
  return (
    <svg className="spark" viewBox={`0 0 ${wide} ${high}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path d={`M0 ${high - 0.5}h${wide}`} stroke="var(--line)" />
      <path d={path} fill={`var(${color})`} />
    </svg>
  )
}
