// The trajectory: agents as lanes side by side, their steps as cards one below the other, so that a team of
// agents fits the page and time goes on by scrolling; and the same as a list for whoever does not see it.
import { Background, Controls, Handle, type Edge, MarkerType, type Node, type NodeProps, Position, ReactFlow, type ReactFlowInstance, type Viewport } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { useMemo, useRef, useState } from 'react'
import { count, duration } from '../format'
import { Figure } from '../ui'
import { type Edge as Way, type Step, trajectory } from './trajectory'
import type { Span } from './types'

const cell = { wide: 220, high: 66, left: 16, top: 36 } // pixels, of a card and what is around it
const card = { wide: 200, high: 46 }
const builtin = 'built-in demo model' // as spans name it
const legible = 0.75 // the least that a way is made smaller to fit
const edge = 12 // pixels beside the last card

type CardNode = Node<{ step: Step; selected: boolean; reached: boolean; select: (id: string) => void }, 'step'>
type LaneNode = Node<{ agent: string; runs: number; first: boolean }, 'lane'>

interface Props {
  spans: Span[]
  selected: string
  select: (id: string) => void
  playhead?: number
}

export default function Graph({ spans, selected, select, playhead }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const [more, setMore] = useState(false) // lies to the right of what is seen
  const way = useMemo(() => trajectory(spans), [spans])
  // Playback moves the playhead with every frame; nodes that are made anew are measured anew, and hidden meanwhile.
  const reached = way.steps.map((step) => (playhead === undefined || step.spans.some((s) => s.offsetMs <= playhead) ? '1' : '0')).join('')
  const nodes = useMemo(() => {
    const high = cell.top + Math.max(1, ...way.steps.map((s) => s.at + 1)) * cell.high
    const lefts: number[] = []
    let left = 0
    const lanes = way.lanes.map((l, i): LaneNode => {
      const wide = l.wide * cell.wide + cell.left / 2
      lefts[i] = left
      left += wide
      return {
        id: 'lane' + i, type: 'lane', position: { x: lefts[i]!, y: 0 }, data: { agent: l.agent, runs: l.spans.length, first: i === 0 },
        ...sized(wide, high), draggable: false, selectable: false, focusable: false, zIndex: -1,
      }
    })
    const cards = way.steps.map((step, i): CardNode => ({
      id: step.id, type: 'step', draggable: false, ...sized(card.wide, card.high),
      position: { x: lefts[step.lane]! + cell.left + step.beside * cell.wide, y: cell.top + step.at * cell.high },
      data: { step, select, selected: step.spans.some((s) => s.spanId === selected), reached: reached[i] === '1' },
    }))
    return [...lanes, ...cards]
  }, [way, selected, select, reached])
  const wide = Math.max(0, ...nodes.map((n) => n.position.x + n.width!))
  const see = (seen: Viewport) => setMore(seen.x + wide * seen.zoom > box.current!.clientWidth + edge)
  const lane = useMemo(() => new Map(way.steps.map((s) => [s.id, s.lane])), [way])
  const edges = useMemo(
    () =>
      way.edges.map((e): Edge => {
        const within = e.way === 'loop' && lane.get(e.from) === lane.get(e.to)
        const [from, to] = within ? ends.round : ends[e.way]
        return {
          id: e.from + '>' + e.to, source: e.from, target: e.to, label: e.again && `×${e.again}`, className: e.way,
          sourceHandle: from, targetHandle: to, type: e.way === 'next' ? 'default' : 'smoothstep',
          markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14 }, focusable: false,
        }
      }),
    [way, lane],
  )
  return (
    <div className={more ? 'graph more' : 'graph'} ref={box}>
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        onInit={(flow) => see(begin(flow as unknown as ReactFlowInstance, box.current!))}
        onMove={(_, seen) => see(seen)}
        onMoveEnd={(_, seen) => see(seen)}
        minZoom={0.1}
        panOnScroll
        nodesConnectable={false}
        nodesDraggable={false}
        onNodeClick={(_, n) => n.type === 'step' && select((n as CardNode).data.step.spans[0]!.spanId)}
        proOptions={{ hideAttribution: true }}
        aria-label="Trajectory"
      >
        <Background gap={20} />
        <Controls showInteractive={false} position="bottom-right" />
      </ReactFlow>
      <ol className="steps" aria-label="Steps of the trajectory">
        {way.steps.map((s) => (
          <li key={s.id}>
            <button className={'plain kind-' + s.kind} onClick={() => select(s.spans[0]!.spanId)}>
              <span className="dim">{way.lanes[s.lane]?.agent}</span> <span className="mark" /> {s.kind} {s.name} {s.spans.length > 1 && <b className="num">×{s.spans.length}</b>}
            </button>
          </li>
        ))}
      </ol>
    </div>
  )
}

const sized = (width: number, height: number) => ({ width, height, measured: { width, height } })

/** ends are the sides of cards that lines leave and reach. */
const ends: Record<Way['way'] | 'round', [string, string]> = {
  next: ['bottom', 'top'],
  call: ['right', 'left'],
  turn: ['right', 'top'],
  loop: ['back', 'bottom-in'], // from an agent on the right to one on the left
  round: ['right', 'round'], // within a lane
}

/** begin shows the whole way if it can be read then, else its beginning. */
function begin(flow: ReactFlowInstance, box: HTMLElement): Viewport {
  const all = flow.getNodesBounds(flow.getNodes())
  const zoom = Math.min(1, Math.max(legible, Math.min(box.clientWidth / (all.width + 32), box.clientHeight / (all.height + 32))))
  const seen = { x: 16, y: 16, zoom }
  void flow.setViewport(seen)
  return seen
}

function Lane({ data }: NodeProps<LaneNode>) {
  return (
    <div className={data.first ? 'lane first' : 'lane'}>
      <b>{data.agent}</b>
      {data.runs > 1 && <span className="dim num"> ×{data.runs}</span>}
    </div>
  )
}

function Card({ data: { step, selected, reached } }: NodeProps<CardNode>) {
  const failed = step.spans.some((s) => s.status === 'error')
  const total = step.spans.reduce((sum, s) => sum + s.durationMs, 0)
  const tokens = step.spans.reduce((sum, s) => sum + (s.model ? s.model.inputTokens + s.model.outputTokens : 0), 0)
  const kind = step.by === builtin ? 'demo model' : step.kind
  return (
    <div className={`card kind-${step.kind}${selected ? ' selected' : ''}${failed ? ' failed' : ''}${reached ? '' : ' ahead'}`} title={step.spans[0]!.model?.name && `${step.spans[0]!.model.name}${step.by ? `, answered by ${step.by}` : ''}`}>
      <div className="card-line">
        <span className="mark" /> <span className="cut">{step.name}</span>
        {step.spans.length > 1 && <b className="num">×{step.spans.length}</b>}
      </div>
      <div className="card-line dim">
        <span className="cut">
          {kind} · <Figure of={duration(total)} />
        </span>
        {tokens > 0 && <Figure of={{ ...count(tokens), unit: 'tok' }} />}
      </div>
      <Handle id="top" type="target" position={Position.Top} isConnectable={false} />
      <Handle id="left" type="target" position={Position.Left} isConnectable={false} />
      <Handle id="round" type="target" position={Position.Right} isConnectable={false} style={{ top: '25%' }} />
      <Handle id="bottom-in" type="target" position={Position.Bottom} isConnectable={false} />
      <Handle id="bottom" type="source" position={Position.Bottom} isConnectable={false} />
      <Handle id="right" type="source" position={Position.Right} isConnectable={false} />
      <Handle id="back" type="source" position={Position.Left} isConnectable={false} style={{ top: '80%' }} />
    </div>
  )
}

const nodeTypes = { step: Card, lane: Lane }
