import {
  COMMIT_FAILED,
  codeOf,
  DEADLINE_OVER,
  failure,
  isBroken,
  isCancelled,
  isInFailedTransaction,
  isInvalid,
  isReadOnly,
  isStalePlan,
  isUnknownStatement,
  QUEUE_TIMEOUT,
  type Reason
} from './errors.ts'
import { Query, type QueryObserver } from './query.ts'
import { allOf, type Send } from './send.ts'
import { FINISH_SECONDS, LOST, Session, type SessionOptions } from './session.ts'
import { Watchdog } from './watchdog.ts'

export interface ConnectionOptions extends SessionOptions {
  /** A connection that owes an answer for so long is closed. In milliseconds; without it none is. */
  silenceMs?: number
  /** Is called once, when the connection takes no more statements. */
  onClose?: () => void
  /** Is called with the payload of each notification. */
  onNotification?: (payload: string) => void
}

/** The error of a statement that may or may not be committed. `why` names the cause. */
const commitFailed = (why: string | undefined, { text }: Query): Error =>
  failure({ ...COMMIT_FAILED, message: `${COMMIT_FAILED.message}: ${why}` }, text)

/** How often the queue is checked, and how many checks a statement waits in it. */
export const QUEUE_CHECK_MS = 100
const QUEUE_CHECKS = 10

/**
 * A connection to PostgreSQL. It connects once and closes once, and whatever it was given and did not answer fails with
 * it. (postgres.js would connect again, and take what is left of the old connection for its own: a statement that came
 * between the error of the socket and its end is never answered, and of statements that belong together some are sent
 * and others not.)
 *
 * Statements are sent at once and answered in order. While it connects, or a transaction has it to itself, they wait in
 * one queue, for about a second: nobody may be there any more to be told of the answer. Checks are counted, not
 * milliseconds, because a process that was held up finds its connection first.
 */
export class Connection implements QueryObserver {
  readonly #session: Session
  readonly #watchdog: Watchdog
  readonly #onClose: (() => void) | undefined
  readonly #queue: Query[] = []
  #queueTimer: NodeJS.Timeout | undefined
  #state: 'connecting' | 'open' | 'closed' = 'connecting'
  /** The first statement of the transaction that has the connection to itself. */
  #reserved: Query | undefined
  #isStopped = false
  #isUnreplicated = false

  constructor({ silenceMs, onClose, onNotification, ...options }: ConnectionOptions) {
    this.#onClose = onClose
    this.#watchdog = new Watchdog(silenceMs ?? Number.POSITIVE_INFINITY, () => this.#reset(LOST))
    const onUnreplicated = () => {
      this.#isUnreplicated = true
    }
    this.#session = new Session(options, { onClose: () => this.#destroy(), onNotification, onUnreplicated })
    this.#session.begin().then(
      () => this.#open(),
      (error) => this.#destroy(error)
    )
  }

  send(text: string, parameters: unknown[] = [], bytes = false): Promise<unknown[][]> {
    return new Promise((resolve, reject) => this.#submit(new Query(text, parameters, bytes, resolve, reject, this)))
  }

  /** A `send` for statements that belong together: if the first was sent, so are the others. */
  pipeline(): Send {
    return this.#group(false).send
  }

  /**
   * Does `work` in a transaction of its own: all that it sends, or nothing when that, or it, fails. Statements of
   * others wait until it has ended.
   *
   * @throws what `work` throws, or the first of its statements that failed, whether it waited for it or not
   */
  async transaction<R>(work: (send: Send) => Promise<R>): Promise<R> {
    const { send, release } = this.#group(true)
    await send('begin').catch((error) => {
      release()
      throw error
    })
    const failures: unknown[] = []
    const result = await allOf(work, send, failures).catch((error) => {
      send('rollback').catch(() => {})
      release()
      throw error
    })
    const done = send('commit')
    release()
    await done
    // PostgreSQL answers the commit of a failed transaction as if it were none.
    if (failures.length > 0) throw failures[0]
    return result
  }

  /** Has PostgreSQL cancel what it was sent, and closes. What waits is not sent. Both fail with `DEADLINE_OVER`. */
  async stop(): Promise<void> {
    if (this.#state === 'connecting') return this.#failQueued(DEADLINE_OVER)
    if (this.#isStopped) return
    this.#isStopped = true
    this.#close(DEADLINE_OVER)
    await this.#session.cancel()
    this.#reset(DEADLINE_OVER)
  }

  /**
   * Closes the connection when what was sent is answered. It takes no more statements.
   *
   * @param timeout seconds after which what is not answered fails
   */
  async end(timeout?: number): Promise<void> {
    if (this.#state === 'connecting') this.#destroy()
    this.#close(LOST)
    await this.#session.end(timeout)
  }

  /** Part of `QueryObserver`. */
  onAnswer(query: Query): Error | undefined {
    this.#watchdog.answered()
    if (!this.#isUnreplicated) return undefined
    this.#isUnreplicated = false
    return commitFailed('no standby has it', query)
  }

  /** Part of `QueryObserver`. */
  onFailure(query: Query, error: unknown): unknown {
    if (!query.executed) return error
    this.#watchdog.answered()
    // The close of the socket comes after its error: what is sent in between is never answered.
    if (isBroken(error)) this.#destroy()
    // PostgreSQL does what it was sent already, so that is answered.
    else if (this.#isOver(query, error)) void this.end(FINISH_SECONDS)
    if (this.#isStopped && isCancelled(error)) return failure(DEADLINE_OVER, query.text)
    if (query.text !== 'commit' || isBroken(error)) return error
    return commitFailed(codeOf(error), query)
  }

  /** Whether nothing may be sent behind a statement that failed so. */
  #isOver(query: Query, error: unknown): boolean {
    // The next statement would be in the transaction of another.
    if (query.text === 'commit' || query.text === 'rollback') return true
    // It was prepared, so the schema changed since: it is refused for as long as it is not prepared anew.
    if (query.prepared && isInvalid(error) && !isStalePlan(error)) return true
    const leads = query.first === undefined || query.first === query
    return (leads && isInFailedTransaction(error)) || isUnknownStatement(error) || isReadOnly(error)
  }

  #group(reserves: boolean): { send: Send; release: () => void } {
    let first: Query | undefined
    const send: Send = (text, parameters = [], bytes = false) =>
      new Promise((resolve, reject) => {
        const query = new Query(text, parameters, bytes, resolve, reject, this)
        query.reserves = reserves && first === undefined
        first ??= query
        query.first = first
        this.#submit(query)
      })
    return { send, release: () => this.#release(first) }
  }

  #submit(query: Query): void {
    if (this.#state === 'closed') query.reject(failure(LOST, query.text))
    else if (this.#mayExecute(query)) this.#execute(query)
    else {
      this.#queue.push(query)
      this.#queueTimer ??= setTimeout(this.#checkQueue, QUEUE_CHECK_MS)
    }
  }

  #mayExecute({ first }: Query): boolean {
    return this.#state === 'open' && (this.#reserved === undefined || this.#reserved === first)
  }

  #execute(query: Query): void {
    if (query.reserves) this.#reserved = query
    query.executed = true
    this.#watchdog.sent()
    this.#session.execute(query)
  }

  #release(first: Query | undefined): void {
    if (this.#reserved !== first) return
    this.#reserved = undefined
    this.#flush()
  }

  #flush(): void {
    for (const query of this.#queue.splice(0)) {
      if (this.#mayExecute(query)) this.#execute(query)
      else this.#queue.push(query)
    }
  }

  readonly #checkQueue = (): void => {
    for (const query of this.#queue.splice(0)) {
      if (query.checks++ < QUEUE_CHECKS) this.#queue.push(query)
      else query.reject(failure(QUEUE_TIMEOUT, query.text))
    }
    this.#queueTimer = this.#queue.length > 0 ? setTimeout(this.#checkQueue, QUEUE_CHECK_MS) : undefined
  }

  #failQueued(reason: Reason): void {
    for (const query of this.#queue.splice(0)) query.reject(failure(reason, query.text))
  }

  #open(): void {
    if (this.#state === 'closed') return
    this.#state = 'open'
    this.#flush()
  }

  #reset(reason: Reason): void {
    this.#session.reset()
    this.#destroy(reason)
  }

  /** Closes at once. What was sent and is not answered fails. */
  #destroy(reason: Reason = LOST): void {
    this.#close(reason)
    void this.#session.end(0)
  }

  /** Takes no more statements. */
  #close(reason: Reason): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#failQueued(reason)
    this.#onClose?.()
  }
}
