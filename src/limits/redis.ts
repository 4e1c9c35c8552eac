import type { FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyBaseLogger } from 'fastify'
import { Redis, type Result } from 'ioredis'
import { type Callback, fixedWindows } from './memory.ts'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** Counts one in the window of a key. Returns the count, and the milliseconds until the window ends. */
    countOne(key: string, windowMs: number): Result<[count: number, ttl: number], Context>
  }
}

/** A request waits this long for Redis, and then continues without its answer. */
export const DEADLINE_MS = 50

/** The pause between two attempts to reach Redis. */
const RETRY_MS = 500

/** A connection that owes an answer is replaced when it is silent for this time. */
const SILENCE_MS = 2000

/** The longest that the start waits for Redis. It waits so that even the first request is counted in Redis. */
const START_MS = 1000

const PREFIX = 'rowkeeper:limit:'

// One script, so that every key has an expiry. A key that lost its expiry gets a new one.
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
 * The limits that instances share in Redis. While Redis does not answer in time, each instance counts alone. It starts
 * with the requests that it has counted itself. Only requests that are waiting when an outage begins wait for the
 * deadline. When Redis answers again, the instance shares its limits again.
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
      // No command is queued. A command fails when it cannot be sent at once, or when its connection is lost.
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
   * Connects to Redis. Resolves when Redis answers, when the connection fails, or after a second.
   *
   * @param url a redis:// or rediss:// URL
   * @param log receives one line at the start of each outage and one at its end
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

  /** Counts in Redis. Calls back within the deadline: with the count, or with nothing when Redis does not answer. */
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
    // If this process was busy until after the deadline, the answer may have arrived. It is read before the immediate.
    const timer = setTimeout(() => setImmediate(fail, `no answer within ${DEADLINE_MS} ms`), DEADLINE_MS)
    this.#redis.countOne(PREFIX + key, windowMs).then(settle, (error: Error) => fail(error.message))
  }

  #degrade(reason: string): void {
    this.#shared = false
    if (this.#reported) return
    this.#reported = true
    this.#log.warn({ reason }, 'Redis does not answer: this instance limits on its own until it does')
  }

  /** Sends the counting command once. If Redis answers in time, the instance shares its limits again. */
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
 * Counts in Redis and also in this process. The higher count applies, because after an outage Redis may have the lower
 * one. Once this process has counted past the limit, it does not ask Redis until the window ends.
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
      // Count from the time of the command, so that the local window does not outlast the one in Redis.
      window.end = now + ttl
      callback(null, { current, ttl })
    })
  }

  child(): RedisStore {
    return new RedisStore(this.#redis)
  }
}

/** Returns a constructor of stores that count in `redis`: @fastify/rate-limit constructs its stores itself. */
export const redisStoreOf = (redis: RedisLimits): (new () => FastifyRateLimitStore) =>
  class extends RedisStore {
    constructor() {
      super(redis)
    }
  }
