// The trajectory: agents as lanes, their steps as cards, and the same as a list for whoever does not see it.
import { Background, Controls, Handle, type Edge, MarkerType, type Node, type NodeProps, Position, ReactFlow, type ReactFlowInstance } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { useMemo, useRef } from 'react'
import { duration } from '../format'
import { Figure } from '../ui'
import { type Step, trajectory } from './trajectory'
import type { Span } from './types'

const cell = { wide: 178, high: 60, left: 16, top: 30, below: 18 } // pixels, of a card and what is around it
const card = { wide: 156, high: 46 }
const legible = 0.8 // the least that a way is made smaller to fit

type CardNode = Node<{ step: Step; selected: boolean; reached: boolean; select: (id: string) => void }, 'step'>
type LaneNode = Node<{ agent: string; runs: number }, 'lane'>

interface Props {
  spans: Span[]
  selected: string
  select: (id: string) => void
  playhead?: number
}

export default function Graph({ spans, selected, select, playhead }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const way = useMemo(() => trajectory(spans), [spans])
  // Playback moves the playhead with every frame; nodes that are made anew are measured anew, and hidden meanwhile.
  const reached = way.steps.map((step) => (playhead === undefined || step.spans.some((s) => s.offsetMs <= playhead) ? '1' : '0')).join('')
  const nodes = useMemo(() => {
    const wide = Math.max(1, ...way.steps.map((s) => s.column + 1)) * cell.wide + cell.left
    const tops: number[] = []
    let top = 0
    const lanes = way.lanes.map(
      (l, i): LaneNode => ({
        id: 'lane' + i, type: 'lane', position: { x: 0, y: (tops[i] = top) }, data: { agent: l.agent, runs: l.spans.length },
        ...sized(wide, heightOf(l, (h) => (top += h))), draggable: false, selectable: false, focusable: false, zIndex: -1,
      }),
    )
    const cards = way.steps.map((step, i): CardNode => ({
      id: step.id, type: 'step', draggable: false, width: card.wide, height: card.high, measured: { width: card.wide, height: card.high },
      position: { x: cell.left + step.column * cell.wide, y: tops[step.lane]! + cell.top + step.row * cell.high },
      data: { step, select, selected: step.spans.some((s) => s.spanId === selected), reached: reached[i] === '1' },
    }))
    return [...lanes, ...cards]
  }, [way, selected, select, reached])
  const edges = useMemo(
    () =>
      way.edges.map((e): Edge => ({
        id: e.from + '>' + e.to, source: e.from, target: e.to, label: e.again ? `×${e.again}` : undefined,
        sourceHandle: e.again ? 'loop-out' : undefined, targetHandle: e.again ? 'loop-in' : undefined,
        type: e.again ? 'smoothstep' : 'default', markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14 }, focusable: false,
      })),
    [way],
  )
  return (
    <div className="graph" ref={box}>
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        onInit={(flow) => begin(flow as unknown as ReactFlowInstance, box.current!)}
        minZoom={0.1}
        nodesConnectable={false}
        nodesDraggable={false}
        onNodeClick={(_, n) => n.type === 'step' && select((n as CardNode).data.step.spans[0]!.spanId)}
        proOptions={{ hideAttribution: true }}
        aria-label="Trajectory"
      >
        <Background gap={20} />
        <Controls showInteractive={false} />
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

function heightOf(lane: { rows: number }, took: (high: number) => void): number {
  const high = cell.top + lane.rows * cell.high + cell.below
  took(high)
  return high
}

/** begin shows the whole way if it can be read then, else its beginning. */
function begin(flow: ReactFlowInstance, box: HTMLElement) {
  const all = flow.getNodesBounds(flow.getNodes())
  const zoom = Math.min(1, Math.max(legible, Math.min(box.clientWidth / (all.width + 32), box.clientHeight / (all.height + 32))))
  void flow.setViewport({ x: 16, y: 16, zoom })
}

function Lane({ data }: NodeProps<LaneNode>) {
  return (
    <div className="lane">
      <b>{data.agent}</b>
      {data.runs > 1 && <span className="dim num"> ×{data.runs}</span>}
    </div>
  )
}

function Card({ data: { step, selected, reached } }: NodeProps<CardNode>) {
  const failed = step.spans.some((s) => s.status === 'error')
  const total = step.spans.reduce((sum, s) => sum + s.durationMs, 0)
  const tokens = step.spans.reduce((sum, s) => sum + (s.model ? s.model.inputTokens + s.model.outputTokens : 0), 0)
  return (
    <div className={`card kind-${step.kind}${selected ? ' selected' : ''}${failed ? ' failed' : ''}${reached ? '' : ' ahead'}`}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <div className="cut">
        <span className="mark" /> {step.name}
      </div>
      <div className="dim">
        {step.kind} · <Figure of={duration(total)} />
        {tokens > 0 && <span className="num"> · {tokens} tok</span>}
        {step.spans.length > 1 && <b className="num"> ×{step.spans.length}</b>}
      </div>
      <Handle type="source" position={Position.Right} isConnectable={false} />
      <Handle id="loop-out" type="source" position={Position.Bottom} isConnectable={false} />
      <Handle id="loop-in" type="target" position={Position.Bottom} isConnectable={false} />
    </div>
  )
}

const nodeTypes = { step: Card, lane: Lane }
