import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Follower } from './follower.ts'
import { type Answer, ask } from './kit.ts'

interface Task {
  id: string
  title: string
  version: number
}

/** The answer to a request, and its time. */
export interface Sample {
  at: number
  ms: number
  status: number
  what: string
}

/** A token of the user for now. */
export type TokenOf = (user: string) => string

/** A write that was answered 503 is done within this time, or never. */
const DONE_MS = 1000
/** How long a user waits for a service that refuses before they give up. */
const PATIENCE_MS = 60_000
const MOST_TASKS = 8

/** A user who knows what their tasks must be, and compares every answer with that. */
export class User {
  /** What was not as it must be. */
  readonly faults: string[] = []
  /** How often a new token was refused at first, since others from its address sent forged ones. */
  retried = 0
  readonly follower: Follower | undefined
  readonly #tasks = new Map<string, Task>()
  readonly #name: string
  readonly #port: number
  readonly #tokenOf: TokenOf
  readonly #record: (sample: Sample) => void
  #token = ''
  #titles = 0

  constructor(
    name: string,
    port: number,
    { tokenOf, record, streams }: { tokenOf: TokenOf; record: (sample: Sample) => void; streams: boolean }
  ) {
    this.#name = name
    this.#port = port
    this.#tokenOf = tokenOf
    this.#record = record
    if (streams) this.follower = new Follower(name, port, () => tokenOf(name))
  }

  /** One request, and with it a check. */
  async step(): Promise<void> {
    const tasks = [...this.#tasks.values()]
    const task = tasks[Math.floor(Math.random() * tasks.length)]
    const chance = Math.random()
    if (task === undefined || (chance < 0.25 && tasks.length < MOST_TASKS)) await this.#create()
    else if (chance < 0.4) await this.#get(task)
    else if (chance < 0.6) await this.check()
    else if (chance < 0.85) await this.#update(task)
    else await this.#delete(task)
  }

  /** Compares all tasks. Returns whether it could. */
  async check(): Promise<boolean> {
    const answer = await this.#ask('GET', '/api/tasks')
    if (answer.status !== 200) return false
    const listed = JSON.parse(answer.body) as Task[]
    const told = (tasks: Iterable<Task>) =>
      [...tasks]
        .map(({ id, title, version }) => `${id} ${title} ${version}`)
        .sort()
        .join(', ')
    if (told(listed) !== told(this.#tasks.values())) {
      this.#fault(`the list is ${told(listed)} instead of ${told(this.#tasks.values())}`)
    }
    return true
  }

  async #create() {
    const title = this.#newTitle()
    const begun = performance.now()
    const key = this.#titles % 2 === 0 ? randomUUID() : undefined
    const answer = await this.#ask('POST', '/api/tasks', { title }, key)
    if (answer.status === 201) this.#keep(JSON.parse(answer.body) as Task, begun)
    else await this.#settle({ title }, begun)
  }

  async #get({ id, title, version }: Task) {
    const answer = await this.#ask('GET', `/api/tasks/${id}`)
    if (answer.status !== 200) return
    const got = JSON.parse(answer.body) as Task
    if (got.title !== title || got.version !== version) {
      this.#fault(`${id} is ${got.title} ${got.version} instead of ${title} ${version}`)
    }
  }

  async #update({ id, version }: Task) {
    const title = this.#newTitle()
    const begun = performance.now()
    const answer = await this.#ask(this.#titles % 2 === 0 ? 'PUT' : 'PATCH', `/api/tasks/${id}`, { title })
    if (answer.status !== 200) return this.#settle({ id, title }, begun)
    const task = JSON.parse(answer.body) as Task
    if (task.version !== version + 1) this.#fault(`the update after version ${version} of ${id} made ${task.version}`)
    this.#keep(task, begun)
  }

  async #delete({ id }: Task) {
    const begun = performance.now()
    const answer = await this.#ask('DELETE', `/api/tasks/${id}`)
    if (answer.status === 200) this.#forget(id, begun)
    else await this.#settle({ id }, begun)
  }

  /**
   * A write that was not answered well is done by now or never will be: looks which, and takes that for true from now
   * on.
   */
  async #settle(asked: { id?: string; title?: string }, begun: number) {
    await sleep(DONE_MS)
    const end = performance.now() + PATIENCE_MS
    for (;;) {
      const answer = await this.#ask('GET', '/api/tasks')
      if (answer.status === 200) return this.#reconcile(JSON.parse(answer.body) as Task[], asked, begun)
      if (performance.now() > end) return this.#fault('the list was refused for a minute')
      await sleep(200)
    }
  }

  #reconcile(listed: Task[], asked: { id?: string; title?: string }, begun: number) {
    const before = [...this.#tasks.values()]
    for (const task of listed) {
      const known = this.#tasks.get(task.id)
      if (known?.title === task.title && known.version === task.version) continue
      if (task.title === asked.title && (asked.id ?? task.id) === task.id) this.#keep(task, begun)
      else this.#fault(`${task.id} is ${task.title} ${task.version} instead of ${known?.title} ${known?.version}`)
    }
    for (const { id, title } of before) {
      if (listed.some((task) => task.id === id)) continue
      if (id === asked.id && asked.title === undefined) this.#forget(id, begun)
      else this.#fault(`${id} ${title} is gone`)
    }
  }

  #keep({ id, title, version }: Task, begun: number) {
    this.#tasks.set(id, { id, title, version })
    this.follower?.expect(`${id} ${version}`, begun)
  }

  #forget(id: string, begun: number) {
    this.#tasks.delete(id)
    this.follower?.expect(`${id} deleted`, begun)
  }

  /** A new token may be refused once for its neighbours' sake: then it must pass after the seconds that it was told. */
  async #ask(method: string, path: string, json?: object, key?: string): Promise<Answer> {
    const token = this.#tokenOf(this.#name)
    let answer = await this.#once(token, method, path, json, key)
    if (token !== this.#token && answer.status === 429) {
      this.retried++
      await sleep(Number(answer.retryAfter) * 1000)
      answer = await this.#once(token, method, path, json, key)
    }
    this.#token = token
    const { status, ms } = answer
    this.#record({ at: performance.now() - ms, ms, status, what: `${method} ${path.slice(0, 11)}` })
    return answer
  }

  #once = (token: string, method: string, path: string, json?: object, key?: string) =>
    ask(this.#port, method, path, { token }, json, key)

  #newTitle = () => `${this.#name} ${++this.#titles}`

  #fault = (what: string) => void this.faults.push(`${this.#name}: ${what}`)
}
