import { setTimeout as sleep } from 'node:timers/promises'
import type { Honest } from './honest.ts'
import { ask, type Service } from './kit.ts'

/** Readiness must turn red after honest users failed for so many seconds in a row. */
const SECONDS = 5

interface Second {
  ready: number
  good: number
  failed: number
}

/** Checks the process, its memory and its readiness each second, and restarts it when it has ended. */
export class Watch {
  deaths = 0
  megabytes = 0
  mostMegabytes = 0
  /** When readiness was red although everybody was served, and when it was green although nobody was. */
  readonly wronglyRed: string[] = []
  readonly wronglyGreen: string[] = []
  readonly statuses: Record<string, number> = {}
  readonly #app: Service
  readonly #honest: Honest
  readonly #watching: Promise<void>
  readonly #seconds: Second[] = []
  #seen = 0
  #going = true

  constructor(app: Service, honest: Honest) {
    this.#app = app
    this.#honest = honest
    this.#watching = this.#watch()
  }

  async stop(): Promise<void> {
    this.#going = false
    await this.#watching
  }

  async #watch() {
    while (this.#going) {
      await sleep(1000)
      if (!this.#app.lives()) {
        this.deaths++
        // A process that does not start is started again.
        await this.#app.start().catch(() => {})
        continue
      }
      this.megabytes = this.#app.memory()
      this.mostMegabytes = Math.max(this.mostMegabytes, this.megabytes)
      const { status } = await ask(this.#app.port, 'GET', '/health/ready')
      this.statuses[status] = (this.statuses[status] ?? 0) + 1
      this.#judge(status)
    }
  }

  #judge(ready: number) {
    const samples = this.#honest.samples.slice(this.#seen)
    this.#seen += samples.length
    const good = samples.filter(({ status }) => status >= 200 && status < 300).length
    this.#seconds.push({ ready, good, failed: samples.length - good })
    const last = this.#seconds.slice(-SECONDS)
    const [before, then, now] = last.slice(-3)
    const served = (second: Second | undefined) => second !== undefined && second.good > 0 && second.failed === 0
    const at = `second ${this.#seconds.length}`
    if (then?.ready === 503 && served(before) && served(then) && served(now)) this.wronglyRed.push(at)
    const unserved = last.every((second) => second.ready === 200 && second.failed > second.good)
    if (last.length === SECONDS && unserved) this.wronglyGreen.push(at)
  }
}
