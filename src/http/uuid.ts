import { randomUUID } from 'node:crypto'

/** Any UUID of RFC 9562, of every version and variant, in upper or lower case. */
export const UUID_PATTERN = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'

/** The ticks of a millisecond. The 12 bits of `rand_a` count them, so a tick is 244 ns. */
const TICKS = 4096

/**
 * When the wall clock is set back by less than this, our time runs on until the wall clock has caught up. When the wall
 * clock is set back by more, our time follows it.
 */
const SET_BACK_MS = 10_000

/** The wall clock in ticks. It goes back only when the wall clock is set back by more than `SET_BACK_MS`. */
class Clock {
  #offset = 0

  now(): { ms: number; tick: number } {
    const elapsed = performance.now()
    const whole = Math.floor(elapsed)
    // With the monotonic clock alone, a process would keep a wrong time for as long as it runs, and miss the time in
    // which the machine was suspended.
    const ahead = Date.now() - whole - this.#offset
    if (ahead > 0 || ahead < -SET_BACK_MS) this.#offset += ahead
    return { ms: whole + this.#offset, tick: Math.floor((elapsed - whole) * TICKS) }
  }
}

const clock = new Clock()

/** Returns the id that is `later` ticks after a time. */
function idOf(ms: number, tick: number, later: number): string {
  const time = (ms + Math.floor((tick + later) / TICKS)).toString(16).padStart(12, '0')
  const fraction = ((tick + later) % TICKS).toString(16).padStart(3, '0')
  // The end of a random UUID has the variant and the random bits. Node asks the system for them once in 128 calls.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${fraction}-${randomUUID().slice(19)}`
}

/**
 * Returns a new UUIDv7 (RFC 9562): the time to 244 ns (section 6.2, method 3), and 62 random bits. The id is greater
 * than the earlier ids of the same user, whose requests are further apart. A counter would do too, but a counter for
 * all users would show each user, by the gaps between their ids, how much the others create.
 */
export function uuidv7(): string {
  const { ms, tick } = clock.now()
  return idOf(ms, tick, 0)
}

/** Returns `count` new ids. Each is greater than the one before it, since they are a tick apart. */
export function uuidv7s(count: number): string[] {
  const { ms, tick } = clock.now()
  return Array.from({ length: count }, (_, i) => idOf(ms, tick, i))
}

const UUIDV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i
const DAY_MS = 86_400_000

const msOf = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

/**
 * The format `recent-uuidv7`: a UUIDv7 (RFC 9562 section 5.7) of about now, a day either way. A client makes it, whose
 * clock may be wrong. Its time is that of the item's creation.
 */
export const isRecentUuidv7 = (text: string) => UUIDV7.test(text) && Math.abs(msOf(text) - Date.now()) <= DAY_MS

/** Returns the time of a UUIDv7, to the microsecond, for PostgreSQL. A later id never has an earlier time. */
export function timeOf(id: string): string {
  const microseconds = Math.floor((Number.parseInt(id.slice(15, 18), 16) * 1000) / TICKS)
  return new Date(msOf(id)).toISOString().replace('Z', `${microseconds}`.padStart(3, '0').concat('Z'))
}
