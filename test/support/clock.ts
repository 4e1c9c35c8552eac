import type { Test } from 'tap'

/** Stops the clock that windows are measured on. Returns what moves it on, by milliseconds. */
export function stopClock(t: Test): (ms: number) => void {
  let now = 1_000_000
  t.intercept(performance, 'now', { value: () => now, configurable: true })
  return (ms) => {
    now += ms
  }
}
