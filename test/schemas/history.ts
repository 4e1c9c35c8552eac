import { randomUUID } from 'node:crypto'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { uuidv7 } from '../../src/http/uuid.ts'
import { same } from '../contract/property.ts'
import { by } from '../contract/subject.ts'
import { copyOf, emptyWorld, Model, type Outcome, type Refusal, type Row, type Values, type World } from './model.ts'
import { type Gen, type Made, type MemberShape, nat, once, pick, VALUES } from './shape.ts'

const NOT_FOUND = 404
const REFUSED = 409

/** The operations of a batch on one table. */
interface Operations {
  create: Values[]
  update: { id: string; change: Values }[]
  delete: { id: string }[]
}

type Inject = (options: InjectOptions) => Promise<LightMyRequestResponse>

/** Random requests of several users to the resources of one schema, against a model of what each user has. */
export class History {
  readonly #gen: Gen
  readonly #made: Made[]
  readonly #inject: Inject
  readonly worlds: Map<string, World>
  /** The codes by which requests were refused. */
  readonly codes = new Set<string>()

  constructor(gen: Gen, made: Made[], users: string[], inject: Inject) {
    this.#gen = gen
    this.#made = made
    this.#inject = inject
    this.worlds = new Map(users.map((user) => [user, emptyWorld(this.#shapes)]))
  }

  get #shapes() {
    return this.#made.map(({ shape }) => shape)
  }

  #worldOf = (user: string) => this.worlds.get(user) as World

  /** The id of a row of a table: most often one of the user's, or else somebody else's, or one that nobody has. */
  #idIn(user: string, t: number): string {
    const whose = once(this.#gen, 6) ? pick(this.#gen, [...this.worlds.keys()]) : user
    const ids = [...(this.#worldOf(whose)[t]?.keys() ?? [])]
    return ids.length === 0 || once(this.#gen, 12) ? randomUUID() : pick(this.#gen, ids)
  }

  #value(user: string, { kind, nullable, target = 0 }: MemberShape): unknown {
    if (nullable && once(this.#gen, 4)) return null
    return kind === 'reference' ? this.#idIn(user, target) : pick<unknown>(this.#gen, VALUES[kind])
  }

  #bodyOf(user: string, members: MemberShape[]): Values {
    return Object.fromEntries(members.map((member) => [member.name, this.#value(user, member)]))
  }

  /** The body of a create. One in three chooses its id, some of those an id or all of a body that was sent before. */
  #newBody(user: string, t: number): Values {
    const { members } = (this.#made[t] as Made).shape
    const body = this.#bodyOf(
      user,
      members.filter(({ nullable }) => !(nullable && once(this.#gen, 3)))
    )
    if (!once(this.#gen, 3)) return body
    const rows = [...(this.#worldOf(user)[t]?.values() ?? [])].filter(({ body }) => body !== undefined)
    if (rows.length === 0 || !once(this.#gen, 2)) return { id: uuidv7(), ...body }
    const { id, body: before } = pick(this.#gen, rows)
    return once(this.#gen, 2) ? JSON.parse(String(before)) : { id, ...body }
  }

  #change(user: string, t: number): Values {
    const { members } = (this.#made[t] as Made).shape
    const some = members.filter(() => once(this.#gen, 2))
    return this.#bodyOf(user, some.length > 0 ? some : members.slice(0, 1))
  }

  /** Sends a request, which fails in one of the ways that the model says, or not at all. Returns the answer then. */
  async #send(options: InjectOptions, refused: Refusal[] = [], notFound = ''): Promise<LightMyRequestResponse | null> {
    const answer = await this.#inject(options)
    const { statusCode } = answer
    if (statusCode < 300 && refused.length === 0) return answer
    const { code = statusCode, errors = [] } = statusCode < 300 ? {} : answer.json()
    this.codes.add(code)
    const got = { code, pointers: errors.map(({ pointer }: { pointer: string }) => pointer) }
    const wanted = refused.find((one) => JSON.stringify(one) === JSON.stringify(got)) ?? refused[0]
    same(
      got,
      wanted,
      `${options.method} ${options.url} ${JSON.stringify(options.payload)} was answered ${answer.body.slice(0, 300)}`
    )
    same(statusCode, wanted?.code === notFound ? NOT_FOUND : REFUSED, 'the status')
    return null
  }

  /** What a user's operation does by the model, in a world of its own. */
  #try(user: string) {
    return new Model(this.#shapes, copyOf(this.#worldOf(user)))
  }

  #refusals({ refused, missing }: Outcome, notFound: string): Refusal[] {
    return missing ? [{ code: notFound, pointers: [] }] : (refused ?? [])
  }

  /** Throws unless an item is what the model has. */
  #isRow(item: Values, row: Row | undefined): void {
    const { createdAt, updatedAt, ...rest } = item
    same(rest, { id: row?.id, ...row?.values, version: row?.version }, 'the item')
  }

  async #create(user: string, t: number, { url }: Made): Promise<void> {
    const [body, model] = [this.#newBody(user, t), this.#try(user)]
    const planned = model.create(t, body, 'new')
    const answer = await this.#send(by(user, 'POST', url, body), planned.refused)
    if (answer === null) return
    same(answer.statusCode, planned.isNew ? 201 : 200, 'the status')
    const item = answer.json()
    const done = this.#try(user)
    this.#isRow(item, done.create(t, body, item.id).row)
    this.worlds.set(user, done.world)
  }

  async #update(user: string, t: number, { url, notFound }: Made): Promise<void> {
    const [id, change, model] = [this.#idIn(user, t), this.#change(user, t), this.#try(user)]
    const outcome = model.update(t, id, change)
    const refusals = this.#refusals(outcome, notFound)
    const answer = await this.#send(by(user, 'PUT', `${url}/${id}`, change), refusals, notFound)
    if (answer === null) return
    this.#isRow(answer.json(), outcome.row)
    this.worlds.set(user, model.world)
  }

  async #remove(user: string, t: number, { url, notFound }: Made): Promise<void> {
    const [id, model] = [this.#idIn(user, t), this.#try(user)]
    const refusals = this.#refusals(model.remove(t, id), notFound)
    const answer = await this.#send(by(user, 'DELETE', `${url}/${id}`), refusals, notFound)
    if (answer !== null) this.worlds.set(user, model.world)
  }

  /** How the first operation of a batch that cannot be done is refused. There must be room before it begins. */
  #refusalsOf(model: Model, t: number, operations: Operations, ids: string[], notFound: string): Refusal[] {
    if (!model.hasRoom(t, operations.create)) return [{ code: 'quota_exceeded', pointers: [] }]
    const steps: [string, string, () => Outcome][] = [
      ...operations.create.map(
        (body, i) => [`/create/${i}`, '', () => model.create(t, body, ids[i] ?? `${i}`)] as never
      ),
      ...operations.update.map(
        ({ id, change }, i) => [`/update/${i}`, '/change', () => model.update(t, id, change)] as never
      ),
      ...operations.delete.map(({ id }, i) => [`/delete/${i}`, '', () => model.remove(t, id)] as never)
    ]
    for (const [pointer, at, step] of steps) {
      const outcome = step()
      const refused = outcome.missing ? [{ code: notFound, pointers: [''] }] : (outcome.refused ?? [])
      if (refused.length === 0) continue
      return refused.map(({ code, pointers }) => ({
        code,
        pointers: (pointers.length > 0 ? pointers : ['']).map((one) => pointer + (outcome.missing ? '' : at) + one)
      }))
    }
    return []
  }

  async #batch(user: string, t: number, { url, notFound }: Made): Promise<void> {
    const some = <T>(make: () => T) => Array.from({ length: nat(this.#gen, 3) }, make)
    const create = some(() => this.#newBody(user, t))
    const operations: Operations = {
      // Of two that choose one id the second repeats the first, or cannot be done. The other tests look at that.
      create: create.filter(({ id }, i) => id === undefined || create.findIndex((one) => one.id === id) === i),
      update: some(() => ({ id: this.#idIn(user, t), change: this.#change(user, t) })),
      delete: some(() => ({ id: this.#idIn(user, t) }))
    }
    const body = Object.fromEntries(Object.entries(operations).filter(([, list]) => list.length > 0))
    if (Object.keys(body).length === 0) return
    const refusals = this.#refusalsOf(this.#try(user), t, operations, [], notFound)
    const answer = await this.#send(by(user, 'POST', `${url}/batch`, body), refusals, notFound)
    if (answer === null) return
    const { created, deleted } = answer.json()
    const done = this.#try(user)
    const ids = created.map(({ id }: Row) => id)
    same(this.#refusalsOf(done, t, operations, ids, notFound), [], 'the batch')
    const asked = operations.delete.map(({ id }) => id)
    same(deleted, asked, 'the deleted ids')
    this.worlds.set(user, done.world)
  }

  /** One random request. The tables that others refer to get as many rows as those. */
  async step(): Promise<void> {
    const user = pick(this.#gen, [...this.worlds.keys()])
    const t = nat(this.#gen, this.#made.length)
    const [create, update, remove, batch] = [this.#create, this.#update, this.#remove, this.#batch]
    const request = pick(this.#gen, [create, create, create, update, update, remove, batch])
    await request.call(this, user, t, this.#made[t] as Made)
  }

  /** Throws unless each list of a user, whole and by each reference, has what the model has. */
  async check(user: string): Promise<void> {
    for (const [t, { url, shape }] of this.#made.entries()) {
      const rows = [...(this.#worldOf(user)[t]?.values() ?? [])].sort((a, b) => (a.id < b.id ? 1 : -1))
      await this.#isList(user, url, rows)
      for (const { name } of shape.members.filter(({ kind }) => kind === 'reference')) {
        for (const id of new Set(rows.flatMap(({ values }) => values[name] ?? []))) {
          const referring = rows.filter(({ values }) => values[name] === id)
          await this.#isList(user, `${url}?${name}=${id}`, referring)
        }
      }
    }
  }

  async #isList(user: string, url: string, rows: Row[]): Promise<void> {
    const answer = await this.#inject(by(user, 'GET', `${url}${url.includes('?') ? '&' : '?'}limit=100`))
    const items: Values[] = answer.json()
    same(
      items.map(({ id }) => id),
      rows.map(({ id }) => id),
      `the ids of ${url}`
    )
    for (const [i, item] of items.entries()) this.#isRow(item, rows[i])
  }
}
