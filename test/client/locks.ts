import type { Test } from 'tap'

interface Waiting {
  hold: () => Promise<void>
  resolve: () => void
  reject: (reason: unknown) => void
}

/** The exclusive locks of the Web Locks API (https://w3c.github.io/web-locks), which Node 20 does not have. */
export class Locks {
  readonly #queues = new Map<string, Waiting[]>()

  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, hold: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(name) ?? []
      this.#queues.set(name, queue)
      const mine: Waiting = { hold, resolve, reject }
      if (options.signal?.aborted) return reject(options.signal.reason)
      options.signal?.addEventListener('abort', () => {
        const at = queue.indexOf(mine)
        // A lock that is held already is not given back.
        if (at > 0) reject(queue.splice(at, 1) && options.signal?.reason)
      })
      if (options.steal) {
        queue.shift()?.reject(new DOMException('The lock was stolen', 'AbortError'))
        queue.unshift(mine)
        this.#grant(queue, mine)
      } else if (queue.push(mine) === 1) this.#grant(queue, mine)
    })
  }

  #grant(queue: Waiting[], mine: Waiting): void {
    mine
      .hold()
      .then(mine.resolve, mine.reject)
      .finally(() => {
        if (queue[0] !== mine) return
        queue.shift()
        const [next] = queue
        if (next !== undefined) this.#grant(queue, next)
      })
  }
}

/** Gives the runtime locks, or takes them away, until the end of the test. */
export const withLocks = (t: Test, locks: Locks | undefined) =>
  t.intercept(globalThis, 'navigator' as never, { value: { locks }, configurable: true } as never)
