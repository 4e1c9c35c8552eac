/** The result of a promise, or the signal's reason when that aborts first. The work itself goes on. */
export const orAborted = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    if (signal.aborted) leave()
    signal.addEventListener('abort', leave)
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })

/**
 * Waits. Rejects with the signal's reason when that aborts.
 *
 * @param network ends the wait when the browser has a network again
 */
export function wait(ms: number, signal: AbortSignal, network = false): Promise<void> {
  const page: Partial<EventTarget> = network ? (globalThis as Partial<EventTarget>) : {}
  const done = new AbortController()
  const over = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    done.signal.addEventListener('abort', () => clearTimeout(timer))
    page.addEventListener?.('online', () => resolve(), { signal: done.signal })
  })
  return orAborted(over, signal).finally(() => done.abort())
}
