// The log: virtualised rows, followed until one scrolls up.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useRef, useState } from 'react'
import { lines, type LogLine, type Refusal } from './api'
import { clock } from './format'
import { Empty, Problem } from './ui'

const kept = 20_000

/** useLog follows the log at path: the last lines at once, and new ones as they come. */
function useLog(path: string) {
  const [log, setLog] = useState<LogLine[]>()
  const [error, setError] = useState<Refusal>()
  useEffect(() => {
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const follow = async () => {
      setLog([])
      try {
        await lines<LogLine>(`${path}?tail=1000&follow=true`, (batch) => setLog((old) => [...(old ?? []), ...batch].slice(-kept)), stop.signal)
        setError(undefined)
      } catch (e) {
        if (stop.signal.aborted) return
        setError(e as Refusal)
        timer = setTimeout(follow, 3000)
      }
    }
    follow()
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [path])
  return { log, error }
}

export function LogPanel({ path }: { path: string }) {
  const { log, error } = useLog(path)
  const [text, setText] = useState('')
  const shown = text ? log?.filter((l) => l.message.includes(text)) : log
  return (
    <section className="panel">
      <header>
        <h2 className="grow">Log</h2>
        <input type="search" placeholder="Filter" aria-label="Filter the log" value={text} onChange={(e) => setText(e.target.value)} />
      </header>
      {error && <Problem error={error} />}
      {shown?.length ? <Rows lines={shown} /> : <Empty title={text ? 'No line matches' : 'Nothing printed yet'}>{!text && 'What the agent writes to stdout and stderr shows here at once.'}</Empty>}
    </section>
  )
}

function Rows({ lines: log }: { lines: LogLine[] }) {
  const box = useRef<HTMLDivElement>(null)
  const [follow, setFollow] = useState(true)
  const rows = useVirtualizer({ count: log.length, getScrollElement: () => box.current, estimateSize: () => 18, overscan: 20 })
  useEffect(() => {
    if (follow) rows.scrollToIndex(log.length - 1, { align: 'end' })
  }, [follow, log.length, rows])
  const scrolled = () => {
    const b = box.current!
    setFollow(b.scrollHeight - b.scrollTop - b.clientHeight < 24)
  }
  return (
    <div className="logs" ref={box} onScroll={scrolled} tabIndex={0} role="log" aria-live="off">
      <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
        {rows.getVirtualItems().map((row) => {
          const line = log[row.index]!
          return (
            <div key={row.key} data-index={row.index} ref={rows.measureElement} className={'line ' + line.stream} title={line.stream} style={{ position: 'absolute', top: 0, insetInline: 0, transform: `translateY(${row.start}px)` }}>
              <time dateTime={line.time} title={line.time}>
                {clock(line.time)}
              </time>
              <Message text={line.message} />
            </div>
          )
        })}
      </div>
    </div>
  )
}

/** Message shows a line as text: terminal colours are taken out, not interpreted. */
function Message({ text }: { text: string }) {
  return <span>{text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, '')}</span>
}
