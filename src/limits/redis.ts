import type { FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyBaseLogger } from 'fastify'
import { Redis, type Result } from 'ioredis'
import { type Callback, fixedWindows } from './memory.ts'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** Counts one in the window of a key: the count, and the milliseconds that are left of the window. */
    countOne(key: string, windowMs: number): Result<[count: number, ttl: number], Context>
  }
}

/** A request continues after this time, whether or not Redis has answered. */
export const DEADLINE_MS = 50

/** The pause between two attempts to reach a Redis that is gone. */
const RETRY_MS = 500

/** A connection that owes an answer and stays silent for so long is replaced. */
const SILENCE_MS = 2000

/** The longest that the start waits for Redis, so that the first request is counted with the other instances. */
const START_MS = 1000

const PREFIX = 'rowkeeper:limit:'

// One script, so that no window is left without its end. A key that lost its end gets a new one.
const COUNT = `
local count = redis.call('INCR', KEYS[1])
local ttl = count > 1 and redis.call('PTTL', KEYS[1]) or -1
if ttl < 0 then
  ttl = tonumber(ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return {count, ttl}`

type Count = [count: number, ttl: number]

/**
 * The Redis in which instances count together. While it does not answer in time, for whatever reason, each instance
 * counts alone, beginning with what it has counted itself. An outage costs one deadline, not one for each request, and
 * ends by itself.
 */
export class RedisLimits {
  readonly #redis: Redis
  readonly #log: FastifyBaseLogger
  readonly #retries: NodeJS.Timeout
  #shared = false
  #reported = false
  readonly #onClose = () => this.#degrade('the connection is closed')

  private constructor(url: string, log: FastifyBaseLogger) {
    this.#log = log
    this.#redis = new Redis(url, {
      connectionName: 'rowkeeper',
      // A command that cannot be sent at once, or was sent before a connection was lost, fails. Nothing is queued.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => RETRY_MS,
      connectTimeout: SILENCE_MS,
      socketTimeout: SILENCE_MS,
      scripts: { countOne: { lua: COUNT, numberOfKeys: 1 } }
    })
    this.#redis.on('error', (error: NodeJS.ErrnoException) => this.#degrade(error.code ?? error.message))
    this.#redis.on('close', this.#onClose)
    this.#retries = setInterval(() => {
      if (!this.#shared && this.#redis.status === 'ready') this.#probe()
    }, RETRY_MS)
  }

  /**
   * Opens the Redis that instances count in. Resolves when it answers, or after a second at most.
   *
   * @param url redis:// or rediss://
   * @param log gets one line for each outage, and one for its end
   */
  static async open(url: string, log: FastifyBaseLogger): Promise<RedisLimits> {
    const limits = new RedisLimits(url, log)
    await limits.#started()
    return limits
  }

  /** Whether this instance counts alone. */
  get degraded(): boolean {
    return !this.#shared
  }

  close(): void {
    clearInterval(this.#retries)
    this.#redis.off('close', this.#onClose)
    this.#shared = false
    this.#redis.disconnect()
  }

  /** Counts in Redis. Calls back within the deadline: with the count, or with nothing when there is none. */
  count(key: string, windowMs: number, callback: (counted?: Count) => void): void {
    let waiting = true
    const settle = (counted?: Count) => {
      if (!waiting) return
      waiting = false
      clearTimeout(timer)
      callback(counted)
    }
    const fail = (reason: string) => {
      if (waiting) this.#degrade(reason)
      settle()
    }
    // When this process was busy past the deadline, the answer is ready to be read, and is read before the immediate.
    const timer = setTimeout(() => setImmediate(fail, `no answer within ${DEADLINE_MS} ms`), DEADLINE_MS)
    this.#redis.countOne(PREFIX + key, windowMs).then(settle, (error: Error) => fail(error.message))
  }

  #degrade(reason: string): void {
    this.#shared = false
    if (this.#reported) return
    this.#reported = true
    this.#log.warn({ reason }, 'Redis does not answer: this instance limits on its own until it does')
  }

  /** Shares the limits again if Redis answers in time the command that it will be asked. */
  #probe(done?: () => void): void {
    this.count('probe', RETRY_MS, (counted) => {
      if (counted !== undefined) {
        this.#shared = true
        if (this.#reported) this.#log.info('Redis answers again: instances share their limits')
        this.#reported = false
      }
      done?.()
    })
  }

  #started(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, START_MS)
      const started = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#redis.once('close', started)
      this.#redis.once('ready', () => this.#probe(started))
    })
  }
}

/**
 * Counts in Redis and, beside it, in this process. The stricter count holds: after an outage that of Redis may be the
 * lower. A budget that is known to be used up is not asked for again.
 */
class RedisStore implements FastifyRateLimitStore {
  readonly #redis: RedisLimits
  readonly #countLocally = fixedWindows()

  constructor(redis: RedisLimits) {
    this.#redis = redis
  }

  incr(key: string, callback: Callback, windowMs: number, max: number): void {
    const now = performance.now()
    const window = this.#countLocally(key, windowMs, now)
    const local = { current: window.count, ttl: window.end - now }
    if (this.#redis.degraded || local.current > max) return void callback(null, local)
    this.#redis.count(key, windowMs, (counted) => {
      if (counted === undefined || counted[0] < local.current) return void callback(null, local)
      const [current, ttl] = counted
      window.count = Math.max(window.count, current)
      // From the time of the question, so that the window does not outlast that of Redis.
      window.end = now + ttl
      callback(null, { current, ttl })
    })
  }

  child(): RedisStore {
    return new RedisStore(this.#redis)
  }
}

/** The constructor of a store that counts in `redis`: @fastify/rate-limit makes its stores itself. */
export const redisStoreOf = (redis: RedisLimits): (new () => FastifyRateLimitStore) =>
  class extends RedisStore {
    constructor() {
      super(redis)
    }
  }
