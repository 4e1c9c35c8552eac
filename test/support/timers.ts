import { once } from 'node:events'
import type { Test } from 'tap'
import { replace } from './replace.ts'

/** Which timers: those of so many milliseconds, or those whose milliseconds fit. */
type Duration = number | ((ms: number) => boolean)

const fits = (duration: Duration, ms: number) => (typeof duration === 'number' ? ms === duration : duration(ms))

export type HeldTimers = ReturnType<typeof holdTimers>

/** Holds back the timers that are set from now on with this duration, until the end of `t`. The test runs them. */
export function holdTimers(t: Test, duration: Duration) {
  const { setTimeout, clearTimeout } = globalThis
  const held: { run: () => void; ms: number; timer: NodeJS.Timeout }[] = []
  const arrivals = new EventTarget()
  const hold = (run: (...args: unknown[]) => void, ms: number, ...args: unknown[]) => {
    if (!fits(duration, ms)) return setTimeout(run, ms, ...args)
    const timer = setTimeout(() => {}, 0)
    held.push({ run: () => run(...args), ms, timer })
    arrivals.dispatchEvent(new Event('timer'))
    return timer
  }
  replace(t, globalThis, 'setTimeout', hold)
  const clear = (cleared: NodeJS.Timeout | undefined) => {
    const at = held.findIndex(({ timer }) => timer === cleared)
    if (at >= 0) held.splice(at, 1)
    clearTimeout(cleared)
  }
  replace(t, globalThis, 'clearTimeout', clear)
  return {
    /** How many are held now. */
    count: () => held.length,
    /** Runs the oldest that is held now, if any. */
    run: () => held.shift()?.run(),
    /** Runs those that are held now, but not the timers that they set. */
    runAll() {
      for (const { run } of held.splice(0)) run()
    },
    /** Forgets those that are held now. */
    forget: () => void held.splice(0),
    /** Waits for a timer of this duration, then for `before`, and runs the timer. Returns its milliseconds. */
    async fire(duration: Duration = () => true, before?: () => Promise<void>): Promise<number> {
      for (;;) {
        const at = held.findIndex(({ ms }) => fits(duration, ms))
        const [timer] = at < 0 ? [] : held.splice(at, 1)
        if (timer === undefined) await once(arrivals, 'timer')
        else {
          await before?.()
          timer.run()
          return timer.ms
        }
      }
    }
  }
}

/** Holds back the interval of so many milliseconds. Returns what runs it once. */
export function holdInterval(t: Test, held: number): () => void {
  const { setInterval } = globalThis
  let work: (() => void) | undefined
  const hold = (run: () => void, ms: number, ...args: []) => {
    if (ms === held) work = run
    return setInterval(ms === held ? () => {} : run, ms, ...args)
  }
  replace(t, globalThis, 'setInterval', hold)
  return () => {
    t.ok(work, `an interval of ${held} ms was set`)
    work?.()
  }
}

/** Stops `performance.now`, on which limits and deadlines are measured. Returns what moves it on, by milliseconds. */
export function stopClock(t: Test): (ms: number) => void {
  let now = 1_000_000
  replace(t, performance, 'now', () => now)
  return (ms) => {
    now += ms
  }
}
