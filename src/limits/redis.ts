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

/** Whether or not Redis has answered within this time, a request goes on. */
const DEADLINE_MS = 50

/** Between attempts to reach a Redis that is gone. */
const RETRY_MS = 500

/** A connection on which nothing comes for so long, though something is asked, is given up for a new one. */
const SILENCE_MS = 2000

/** Start-up waits no longer than this to count with the other instances from the first request on. */
const START_MS = 1000

const PREFIX = 'rowkeeper:limit:'

// One script, so that a window cannot be left without its end. A key that lost its own gets one.
const COUNT = `
local count = redis.call('INCR', KEYS[1])
local ttl = count > 1 and redis.call('PTTL', KEYS[1]) or -1
if ttl < 0 then
  ttl = tonumber(ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return {count, ttl}`

/** The Redis that instances count in. */
export interface RedisLimits {
  Store: new () => { incr: FastifyRateLimitStore['incr']; child(): FastifyRateLimitStore }
  /** Whether this instance counts alone. */
  degraded(): boolean
  close(): void
}

/**
 * Opens the Redis that instances count in. While it fails to answer in time, for whatever reason, each instance counts
 * alone, with what it has counted itself so far; that costs one deadline, not one a request, and ends by itself.
 *
 * @param url redis:// or rediss://
 * @param log hears once of each outage, and of its end
 */
export async function openRedis(url: string, log: FastifyBaseLogger): Promise<RedisLimits> {
  const redis = new Redis(url, {
    connectionName: 'rowkeeper',
    // What cannot be sent at once, or was sent before a connection was lost, fails: nothing is queued.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => RETRY_MS,
    connectTimeout: SILENCE_MS,
    socketTimeout: SILENCE_MS,
    scripts: { countOne: { lua: COUNT, numberOfKeys: 1 } }
  })

  let shared = false
  let told = false

  const degrade = (reason: string) => {
    shared = false
    if (told) return
    told = true
    log.warn({ reason }, 'Redis does not answer: this instance limits on its own until it does')
  }

  /** Counts in Redis, and calls back within the deadline, with nothing when there is no count. */
  const count = (key: string, windowMs: number, callback: (counted?: [count: number, ttl: number]) => void) => {
    let waiting = true
    const settle = (counted?: [number, number]) => {
      if (!waiting) return
      waiting = false
      clearTimeout(timer)
      callback(counted)
    }
    const fail = (reason: string) => {
      if (waiting) degrade(reason)
      settle()
    }
    // Where this process was busy past the deadline, the answer is there to be read, which comes before the immediate.
    const timer = setTimeout(() => setImmediate(fail, `no answer within ${DEADLINE_MS} ms`), DEADLINE_MS)
    redis.countOne(PREFIX + key, windowMs).then(settle, (error: Error) => fail(error.message))
  }

  /** Goes back to Redis if it answers in time what it will be asked. */
  const probe = (done?: () => void) => {
    count('probe', RETRY_MS, (counted) => {
      if (counted !== undefined) {
        shared = true
        if (told) log.info('Redis answers again: instances share their limits')
        told = false
      }
      done?.()
    })
  }

  const onClose = () => degrade('the connection is closed')
  redis.on('error', (error: NodeJS.ErrnoException) => degrade(error.code ?? error.message))
  redis.on('close', onClose)
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, START_MS)
    const started = () => {
      clearTimeout(timer)
      resolve()
    }
    redis.once('close', started)
    redis.once('ready', () => probe(started))
  })
  const retries = setInterval(() => {
    if (!shared && redis.status === 'ready') probe()
  }, RETRY_MS)

  /**
   * A store for @fastify/rate-limit that counts in Redis and, beside it, in this process. The stricter count holds:
   * after an outage that of Redis may be the lower. A budget that is known to be used up is not asked for again.
   */
  class RedisStore implements FastifyRateLimitStore {
    readonly #count = fixedWindows()

    incr(key: string, callback: Callback, windowMs: number, max: number): void {
      const now = performance.now()
      const window = this.#count(key, windowMs, now)
      const own = { current: window.count, ttl: window.end - now }
      if (!shared || own.current > max) return void callback(null, own)
      count(key, windowMs, (counted) => {
        if (counted === undefined || counted[0] < own.current) return void callback(null, own)
        const [current, ttl] = counted
        window.count = Math.max(window.count, current)
        // From when it was asked, so that the window does not outlast that of Redis.
        window.end = now + ttl
        callback(null, { current, ttl })
      })
    }

    child(): RedisStore {
      return new RedisStore()
    }
  }

  return {
    Store: RedisStore,
    degraded: () => !shared,
    close: () => {
      clearInterval(retries)
      redis.off('close', onClose)
      shared = false
      redis.disconnect()
    }
  }
}
