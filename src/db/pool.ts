import type { Owner } from '../auth/user.ts'
import { Deadline } from '../http/deadline.ts'
import type { Connection } from './connection.ts'
import type { Distribution } from './distribution.ts'
import { DEADLINE_OVER, failure, isUnknownStatement } from './errors.ts'
import { type Demand, Lane } from './lane.ts'
import type { Prepare } from './prepare.ts'
import { Retries } from './retries.ts'
import { SHARED_MAX } from './session.ts'
import type { Slot } from './slot.ts'
import { BUILDER } from './statement.ts'
import { type Transact, transact } from './transaction.ts'

/**
 * How many checks of the queue, ten a second, a statement waits. An honest search may wait for those of several others.
 */
const CHECKS = 10
const SCAN_CHECKS = 20

/**
 * What a pool has to do: statements and transactions that are not done, those of them that wait, and connections with
 * and without any.
 */
export interface Load {
  pending: number
  queued: number
  busy: number
  idle: number
}

/** Sends a statement for an owner on a connection, before it returns. */
export type SendOn = (
  connection: Connection,
  owner: Owner,
  ...statement: [text: string, parameters: unknown[], bytes: boolean]
) => Promise<unknown[][]>

/** The slots of a pool: those of scans are for nothing else. Without any, scans run among the other statements. */
export interface Slots {
  ordinary: readonly Slot[]
  scans: readonly Slot[]
}

/**
 * Gives each statement to a connection. Each connection is a client of postgres.js of its own: in a client of several,
 * postgres.js searches lists that grow with every statement for as long as some connection is never idle.
 *
 * Transactions have a connection to themselves. Scans, whose cost grows with the rows that their owner has, have few
 * connections, apart from the others, and each owner one at a time. Reads share connections when none is idle, and so
 * do writes.
 */
export class Pool {
  readonly #slots: readonly Slot[]
  readonly #ordinary: Lane
  readonly #scans: Lane
  readonly #sendOn: SendOn
  readonly #onUnknownStatement: () => void
  readonly #distribution: Distribution
  /** One promise for each connection that is being stopped. */
  readonly #stopping = new Set<Promise<void>>()

  /**
   * @param distribution chooses the form of each statement
   * @param onUnknownStatement is called when PostgreSQL and we do not agree on what is prepared on a connection
   */
  constructor({ ordinary, scans }: Slots, distribution: Distribution, onUnknownStatement: () => void, sendOn: SendOn) {
    this.#slots = [...ordinary, ...scans]
    const perOwner = Math.max(1, Math.floor(ordinary.length / 4))
    const checks = scans.length > 0 ? CHECKS : SCAN_CHECKS
    this.#ordinary = new Lane(ordinary, {
      pipeline: SHARED_MAX,
      perOwner,
      perOwnerAlone: Number.POSITIVE_INFINITY,
      checks
    })
    const one = { pipeline: 1, perOwner: 1, perOwnerAlone: 1, checks: SCAN_CHECKS }
    this.#scans = scans.length > 0 ? new Lane(scans, one) : this.#ordinary
    this.#sendOn = sendOn
    this.#onUnknownStatement = onUnknownStatement
    this.#distribution = distribution
  }

  readonly prepare: Prepare = (build) => {
    const current = this.#distribution.compile((options) => build(BUILDER, options))
    const { text, read, scan } = current()
    const lane = scan ? this.#scans : this.#ordinary
    const kind = !read ? 'write' : scan ? 'scan' : 'read'
    return (owner, values = {}, within) => {
      if (within !== undefined && !(within instanceof Deadline)) return within.run(current(), owner, values)
      // What the database has may change while a statement waits for a connection.
      const send = async (connection: Connection) => {
        const { text, bytes, parameters, rows } = current()
        return rows(await this.#sendOn(connection, owner, text, parameters(owner, values), bytes))
      }
      return this.#run(lane, { owner, text, kind, within }, send)
    }
  }

  readonly transaction: Transact = (owner, work, { within, lockKey } = {}) =>
    this.#run(this.#ordinary, { owner, text: 'begin', kind: 'transaction', within }, (connection) =>
      transact(connection, owner, work, { within, lockKey }, this.#distribution.nameOwner)
    )

  load(): Load {
    const inFlight = this.#slots.reduce((sum, one) => sum + one.inFlight, 0)
    const lanes = new Set([this.#ordinary, this.#scans])
    const queued = [...lanes].reduce((sum, lane) => sum + lane.queued, 0)
    const idle = this.#slots.filter((one) => one.inFlight === 0).length
    return { pending: inFlight + queued, queued, busy: this.#slots.length - idle, idle }
  }

  /** Resolves when PostgreSQL has cancelled what was given up, or a second later. */
  async settled(): Promise<void> {
    await Promise.all(this.#stopping)
  }

  #stop(connection: Connection): void {
    const stopping = connection.stop().finally(() => this.#stopping.delete(stopping))
    this.#stopping.add(stopping)
  }

  /**
   * Does `work` on a connection of a lane, and once more as far as `Retries` allows it. When the time of its request is
   * up, the connection of all but a read is stopped. Other writes on it are done once more if they can be.
   */
  async #run<R>(lane: Lane, demand: Demand, work: (connection: Connection) => Promise<R>): Promise<R> {
    const { owner, text, kind, within } = demand
    let retries: Retries | undefined
    for (;;) {
      if (within?.over) throw failure(DEADLINE_OVER, text)
      const slot = lane.tryAcquire(demand) ?? (await lane.acquire(demand))
      try {
        const { connection } = slot
        if (within !== undefined && kind !== 'read') within.cancel = () => this.#stop(connection)
        return await work(connection)
      } catch (error) {
        if (isUnknownStatement(error)) this.#onUnknownStatement()
        retries ??= new Retries(kind, this.#slots.length, this.#distribution.distributed)
        if (!retries.allow(error, slot, !lane.hasOthers(owner))) throw error
      } finally {
        lane.release(slot, owner)
        if (within !== undefined) within.cancel = undefined
      }
    }
  }
}
