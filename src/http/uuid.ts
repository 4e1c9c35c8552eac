import { randomUUID } from 'node:crypto'

/** Any UUID of RFC 9562, of every version and variant; case does not matter. */
export const UUID_PATTERN = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'

/** Ticks in a millisecond: the 12 bits of `rand_a`, so one is 244 ns. */
const TICKS = 4096

/** A wall clock that was set back by less is waited for; by more, it is followed. */
const SET_BACK_MS = 10_000

/** The wall clock in ticks, which goes back only when it was set back far. */
class Clock {
  #offset = 0

  now(): { ms: number; tick: number } {
    const elapsed = performance.now()
    const whole = Math.floor(elapsed)
    // By the monotonic clock alone a process would keep a wrong time for as long as it runs, and lose that of a
    // suspended machine.
    const ahead = Date.now() - whole - this.#offset
    if (ahead > 0 || ahead < -SET_BACK_MS) this.#offset += ahead
    return { ms: whole + this.#offset, tick: Math.floor((elapsed - whole) * TICKS) }
  }
}

const clock = new Clock()

/** The id of `later` ticks after a moment. */
function idOf(ms: number, tick: number, later: number): string {
  const time = (ms + Math.floor((tick + later) / TICKS)).toString(16).padStart(12, '0')
  const fraction = ((tick + later) % TICKS).toString(16).padStart(3, '0')
  // The end of a random UUID: variant and random bits, for which Node asks the system once in 128 times.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${fraction}-${randomUUID().slice(19)}`
}

/**
 * A new UUIDv7 (RFC 9562): the time to 244 ns (section 6.2, method 3), and 62 random bits. So it is greater than those
 * that were made before, for one user at least, whose requests are further apart. A counter would do as well, but in
 * one that all users share the gaps between one's own ids tell how much the others create.
 */
export function uuidv7(): string {
  const { ms, tick } = clock.now()
  return idOf(ms, tick, 0)
}

/** As many of them, each greater than the one before it: they are a tick apart. */
export function uuidv7s(count: number): string[] {
  const { ms, tick } = clock.now()
  return Array.from({ length: count }, (_, i) => idOf(ms, tick, i))
}

/** The time in a UUIDv7 of ours, to the microsecond, as PostgreSQL reads it. A later id never has an earlier time. */
export function timeOf(id: string): string {
  const ms = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
  const microseconds = Math.floor((Number.parseInt(id.slice(15, 18), 16) * 1000) / TICKS)
  return new Date(ms).toISOString().replace('Z', `${microseconds}`.padStart(3, '0').concat('Z'))
}
