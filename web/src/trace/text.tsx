// Text that agents wrote. It is hostile: nothing in it is markup, and it cannot turn the page's direction
// around, overwrite what stands before it, or hide.
import { Fragment, memo, type ReactNode } from 'react'

// What terminals take as commands: colours, and the rest, which is dropped.
const escape = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g

// Controls, and characters that reorder or hide text. New lines and tabs stay.
const unseen = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g

/** visible shows characters that would act on the page by their number. */
const visible = (text: string) => text.replace(unseen, (c) => `⟨${c.codePointAt(0)!.toString(16).padStart(4, '0')}⟩`)

interface Style {
  color?: number // 0 to 7
  bold?: boolean
  faint?: boolean
}

/** Text shows what was written, terminal colours as colours. */
export const Text = memo(function Text({ of: text }: { of: string }) {
  if (!text.includes('\x1b')) return <>{visible(text)}</>
  const out: ReactNode[] = []
  let style: Style = {}
  let from = 0
  const add = (to: number) => {
    if (to > from) out.push(piece(visible(text.slice(from, to)), style, out.length))
  }
  for (const found of text.matchAll(escape)) {
    add(found.index)
    from = found.index + found[0].length
    if (found[2] === 'm') style = next(style, found[1] ?? '')
  }
  add(text.length)
  return <>{out}</>
})

function piece(text: string, { color, bold, faint }: Style, key: number): ReactNode {
  const names = [color !== undefined && `ansi-${color}`, bold && 'ansi-bold', faint && 'dim'].filter(Boolean).join(' ')
  return names ? (
    <span key={key} className={names}>
      {text}
    </span>
  ) : (
    <Fragment key={key}>{text}</Fragment>
  )
}

function next(style: Style, codes: string): Style {
  const numbers = codes.split(/[;:]/).map(Number)
  for (let i = 0; i < numbers.length; i++) {
    const n = numbers[i]!
    if (n === 0) style = {}
    else if (n === 1) style = { ...style, bold: true }
    else if (n === 2) style = { ...style, faint: true }
    else if (n === 22) style = { color: style.color }
    else if ((n >= 30 && n <= 37) || (n >= 90 && n <= 97)) style = { ...style, color: n % 10 }
    else if (n === 39) style = { ...style, color: undefined }
    else if (n === 38 || n === 48) i += numbers[i + 1] === 5 ? 2 : 4 // one of 256 colours, or of all: left as it is
  }
  return style
}
