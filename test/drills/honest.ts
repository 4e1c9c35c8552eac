import { setTimeout as sleep } from 'node:timers/promises'
import { expect, tokenOf as tokenOfDrills } from './kit.ts'
import { type Sample, type TokenOf, User } from './user.ts'

const FIRST_MS = 1000
/** Failures that the first second of an attack excuses. */
const EXCUSED = [0, 429, 503]

interface Options {
  users?: number
  /** The requests of all users together. */
  perSecond?: number
  tokenOf?: TokenOf
  streams?: boolean
  name?: string
}

/** The milliseconds that a share of the requests took at most. */
export function percentile(samples: Sample[], share: number): number {
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN)
}

/** Honest users beside an attack, each of whom checks every answer. */
export class Honest {
  readonly samples: Sample[] = []
  readonly users: User[]
  readonly #attacks: number[] = []
  readonly #working: Promise<unknown>
  #going = true

  constructor(
    port: number,
    { users = 20, perSecond = 50, tokenOf = tokenOfDrills, streams = false, name = 'honest' }: Options = {}
  ) {
    const record = (sample: Sample) => void this.samples.push(sample)
    this.users = Array.from({ length: users }, (_, n) => new User(`${name}-${n}`, port, { tokenOf, record, streams }))
    const gap = (1000 * users) / perSecond
    this.#working = Promise.all(this.users.map((user, n) => this.#work(user, gap, (gap * n) / users)))
  }

  async #work(user: User, gap: number, offset: number) {
    let next = performance.now() + offset
    while (this.#going) {
      await sleep(Math.max(0, next - performance.now()))
      // A user who had to wait does not catch up with a burst.
      next = Math.max(next, performance.now()) + gap
      await user.step()
    }
  }

  /** Notes that an attack begins, which excuses one second. Returns the time. */
  attacked(): number {
    const now = performance.now()
    this.#attacks.push(now)
    return now
  }

  since = (from: number) => this.samples.filter(({ at }) => at >= from)

  /** The failures without an excuse. */
  failures = (samples: Sample[]) =>
    samples.filter(({ at, ms, status }) => {
      const excused = () => this.#attacks.some((begun) => begun <= at + ms && at <= begun + FIRST_MS)
      return (status < 200 || status > 299) && !(EXCUSED.includes(status) && excused())
    })

  /** Fails the verdict if the users were slowed down or refused since an attack began at `from`. */
  expectUnharmed(what: string, from: number, most: { p50?: number; p95?: number } = {}) {
    const all = this.since(from)
    const later = all.filter(({ at }) => at >= from + FIRST_MS)
    const failures = this.failures(all)
    const kinds = [...new Set(failures.map((one) => `${one.what} ${one.status}`))].slice(0, 5).join(', ')
    expect(
      all.length > 0 && failures.length === 0,
      `${what}: of ${all.length} honest requests ${failures.length} failed ${kinds}`
    )
    const [p50, p95, max] = [0.5, 0.95, 1].map((share) => percentile(later, share))
    const { p50: most50 = Number.POSITIVE_INFINITY, p95: most95 = Number.POSITIVE_INFINITY } = most
    expect(Number(p50) < most50 && Number(p95) < most95, `${what}: honest p50 ${p50}, p95 ${p95}, at most ${max} ms`)
  }

  /** Ends, checks everything once more, and fails the verdict for each difference. */
  async stop(): Promise<void> {
    this.#going = false
    await this.#working
    const checked = await Promise.all(this.users.map((user) => user.check()))
    await Promise.all(this.users.map((user) => user.follower?.stop()))
    const faults = this.users.flatMap((user) => [...user.faults, ...(user.follower?.faults ?? [])])
    expect(
      faults.length === 0 && checked.every((could) => could),
      `every user has what was acknowledged ${faults.slice(0, 5).join('; ')}`
    )
  }
}
