// What calls to models took, and what they may take.
import { count, money, type Quantity } from './format'
import { Figure } from './ui'

/** Spending is a session's, or a runtime's of today (UTC). What has no most is not limited. */
export interface Spending {
  tokens: number
  costUSD: number
  maxTokens?: number
  maxCostUSD?: number
  atTheLimit?: 'refuse' | 'end'
}

const full = (spent: number, most: number | undefined) => !!most && spent >= most
const then = (s: Spending) => (s.atTheLimit === 'end' ? 'the session ends' : 'calls to models are refused')

/** Spent is what was spent, and of what: tokens, and money where there is any. */
export function Spent({ of: s }: { of: Spending }) {
  return (
    <>
      <Line what="tokens" spent={s.tokens} most={s.maxTokens} write={count} />
      {(s.costUSD > 0 || !!s.maxCostUSD) && <Line what="" spent={s.costUSD} most={s.maxCostUSD} write={money} />}
    </>
  )
}

function Line({ what, spent, most, write }: { what: string; spent: number; most?: number; write: (n: number) => Quantity }) {
  const share = most ? Math.min(100, (100 * spent) / most) : 0
  return (
    <div className="spent">
      <span>
        <Figure of={write(spent)} />
        {!!most && (
          <>
            {' '}
            <span className="dim">of</span> <Figure of={write(most)} />
          </>
        )}{' '}
        <span className="dim">{what}</span>
      </span>
      {!!most && (
        <span className={'meter' + (share >= 100 ? ' full' : share >= 80 ? ' near' : '')} role="meter" aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(share)} aria-label={`${what || 'dollars'} spent, of what may be`}>
          <i style={{ width: share + '%' }} />
        </span>
      )}
    </div>
  )
}

/** Limits says what each session may spend, and what happens then. */
export function Limits({ of: s }: { of: Spending }) {
  return (
    <>
      at most {!!s.maxTokens && <Figure of={count(s.maxTokens)} />}
      {!!s.maxTokens && ' tokens'}
      {!!s.maxTokens && !!s.maxCostUSD && ' and '}
      {!!s.maxCostUSD && <Figure of={money(s.maxCostUSD)} />}
      <span className="dim">, then {then(s)}</span>
    </>
  )
}

/** UsedUp says that a budget is at its end, what that means, and which tag of the runtime sets it. */
export function UsedUp({ of: s, whose, tag }: { of: Spending; whose: string; tag: 'session' | 'daily' }) {
  const tokens = full(s.tokens, s.maxTokens)
  if (!tokens && !full(s.costUSD, s.maxCostUSD)) return null
  return (
    <div className="notice bad" role="status">
      {whose} is used up: {then(s)}. Who owns the runtime raises it by its tag <code>moorage:{tag}-{tokens ? 'tokens' : 'dollars'}</code>.
    </div>
  )
}
