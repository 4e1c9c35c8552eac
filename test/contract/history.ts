import { is, SQL } from 'drizzle-orm'
import fc from 'fast-check'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { newUser } from './application.ts'
import { type Item, matches, orderOf } from './model.ts'
import { holds, same } from './property.ts'
import { by, nextOf, type Subject, serve } from './subject.ts'
import type { Suite } from './test.ts'
import { answered, queriesOf, queryString } from './values.ts'

const SEED = 20_261_124
const USERS = 3

interface Known {
  user: number
  /** What was last answered of it; undefined once it is deleted. */
  json: Item | undefined
  id: string
}

interface Model {
  /** The items of all users, in the order of creation. */
  items: Known[]
}

interface Real {
  url: string
  inject(options: InjectOptions): Promise<LightMyRequestResponse>
  user(n: number): string
}

type Command = fc.AsyncCommand<Model, Real>
type Body = Record<string, unknown>

/** A command whose error says which one failed. Its text is made only then, because it takes long. */
const command = (text: () => string, run: Command['run'], check: Command['check'] = () => true): Command => ({
  check,
  async run(model, real) {
    try {
      await run(model, real)
    } catch (error) {
      throw new Error(`${text().slice(0, 600)}: ${(error as Error).message}`, { cause: error })
    }
  },
  toString: text
})

/** The members of a body as they are answered. */
const answer = ({ declaration }: Subject, body: Body) =>
  Object.fromEntries(
    declaration.members
      .filter(({ name }) => name in body)
      .map((member) => [member.name, answered(member, body[member.name])])
  )

/** The members that a body of a create leaves out: the default of the column, unless SQL or a function makes it. */
const defaults = ({ declaration }: Subject, body: Body) =>
  Object.fromEntries(
    declaration.members.flatMap(({ name, column: { default: value = null, defaultFn } }) =>
      name in body || defaultFn !== undefined || is(value, SQL) ? [] : [[name, value]]
    )
  )

/** The moment in a UUIDv7 (RFC 9562 section 5.7), in milliseconds. */
const momentOf = (id: string) => Number.parseInt(id.replace('-', '').slice(0, 12), 16)

/** Throws unless an item is new and has what the body gave it. */
function isNew(subject: Subject, item: Item, body: Body): void {
  const given = { ...defaults(subject, body), ...answer(subject, body) }
  same(Object.fromEntries(Object.keys(given).map((name) => [name, item[name]])), given, 'the new item')
  same([item.version, item.updatedAt], [1, item.createdAt], 'the version and the time of a new item')
  same(Date.parse(String(item.createdAt)), momentOf(item.id), 'the time of a new item, by its id')
}

/** Throws unless an item is the one before, changed as the body says. */
function isChanged(subject: Subject, item: Item, before: Item, body: Body): void {
  const { updatedAt } = item
  if (String(updatedAt) < String(before.updatedAt)) throw new Error(`${updatedAt} is before ${before.updatedAt}`)
  same(item, { ...before, ...answer(subject, body), updatedAt, version: before.version + 1 }, 'a changed item')
}

const creates = (subject: Subject, user: fc.Arbitrary<number>) =>
  fc.tuple(user, subject.creates, fc.option(fc.uuid())).map(([n, body, key]) =>
    command(
      () => `user ${n} creates ${fc.stringify(body)}${key === null ? '' : ' twice with a key'}`,
      async ({ items }, real) => {
        const headers: Record<string, string> = key === null ? {} : { 'idempotency-key': key }
        const created = await real.inject(by(real.user(n), 'POST', real.url, body, headers))
        same(created.statusCode, 201, 'the status')
        const json = created.json()
        isNew(subject, json, body)
        same(created.headers.location, `${real.url}/${json.id}`, 'the location')
        items.push({ user: n, json, id: json.id })
        if (key === null) return
        const again = await real.inject(by(real.user(n), 'POST', real.url, body, headers))
        same([again.statusCode, again.body], [201, created.body], 'the answer to a repeated request')
      }
    )
  )

const reaches = (subject: Subject, user: fc.Arbitrary<number>, pick: fc.Arbitrary<number>) =>
  fc
    .tuple(
      user,
      pick,
      fc.constantFrom('GET', 'PUT', 'PATCH', 'DELETE'),
      subject.changes,
      fc.option(fc.integer({ min: -1, max: 0 }))
    )
    .map(([n, i, method, body, off]) =>
      command(
        () => `user ${n}: ${method} item ${i} ${fc.stringify(body)} ${off === null ? '' : `if version ${off}`}`,
        async ({ items }, real) => {
          const item = items[i % items.length] as Known
          const { json: before } = item
          const headers: Record<string, string> =
            off === null ? {} : { 'if-match': `"${Math.max((before?.version ?? 1) + off, 1)}"` }
          const fits = off === null || before === undefined || Math.max(before.version + off, 1) === before.version
          const { statusCode, ...rest } = await real.inject(
            by(real.user(n), method as 'GET', `${real.url}/${item.id}`, body, headers)
          )
          const json = rest.json()
          if (before === undefined || item.user !== n) {
            same([statusCode, json.code], [404, subject.notFound], 'a foreign or deleted item')
          } else if (!fits) same([statusCode, json.code], [412, 'precondition_failed'], 'an item of another version')
          else {
            same(statusCode, 200, `the status of ${rest.body.slice(0, 200)}`)
            if (method === 'DELETE') {
              same(json, { detail: `${subject.declaration.words.capitalized} deleted` }, 'the answer')
              item.json = undefined
            } else if (method === 'GET') same(json, before, 'an item')
            else {
              isChanged(subject, json, before, body)
              item.json = json
            }
          }
        },
        ({ items }) => items.length > 0
      )
    )

interface Operation {
  item: Known
  /** Undefined for a delete. */
  change?: Body
  version: number | undefined
  pointer: string
}

/** The first of a user's operations that cannot be done, and the code of its problem. */
function undoneOf({ notFound }: Subject, user: number, operations: Operation[]) {
  const versions = new Map<Known, number | undefined>()
  for (const { item, change, version, pointer } of operations) {
    const now = versions.has(item) ? versions.get(item) : item.user === user ? item.json?.version : undefined
    if (now === undefined) return { pointer, code: notFound }
    if (version !== undefined && version !== now) return { pointer, code: 'precondition_failed' }
    versions.set(item, change === undefined ? undefined : now + 1)
  }
  return undefined
}

/** How far the version that an operation names is off; null when it names none, as half of them do. */
const offs = fc.option(fc.constantFrom(-1, 0, 0, 0, 1), { freq: 2 })

interface BatchOf {
  n: number
  creates: Body[]
  updates: [number, number | null, Body][]
  deletes: [number, number | null][]
}

/** A batch as text: first what it does, then with which values. */
function textOf({ n, creates, updates, deletes }: BatchOf): string {
  const names = ([i, off]: [number, number | null, ...unknown[]]) => `${i}${off === null ? '' : ` if version ${off}`}`
  const parts = [`creates ${creates.length}`, `updates ${updates.map(names)}`, `deletes ${deletes.map(names)}`]
  return `user ${n}: a batch ${parts.join('; ')}; ${fc.stringify({ creates, updates })}`
}

const batches = (subject: Subject, user: fc.Arbitrary<number>, pick: fc.Arbitrary<number>) =>
  fc
    .record({
      n: user,
      creates: fc.array(subject.creates, { maxLength: 2 }),
      updates: fc.array(fc.tuple(pick, offs, subject.changes), { maxLength: 2 }),
      deletes: fc.array(fc.tuple(pick, offs), { maxLength: 2 })
    })
    .filter(({ creates, updates, deletes }) => creates.length + updates.length + deletes.length > 0)
    .map((batch) =>
      command(
        () => textOf(batch),
        async ({ items }, real) => {
          const { n } = batch
          // Most of the operations are on items of the user.
          const own = items.filter(({ user, json }) => user === n && json !== undefined)
          const at = (i: number) => (i % 8 === 0 || own.length === 0 ? items[i % items.length] : own[i % own.length])
          const of = (i: number, off: number | null): Omit<Operation, 'pointer'>[] => {
            const item = at(i)
            if (item === undefined) return []
            return [{ item, version: off === null ? undefined : Math.max((item.json?.version ?? 1) + off, 1) }]
          }
          const updates: Operation[] = batch.updates
            .flatMap(([i, off, change]) => of(i, off).map((one) => ({ ...one, change })))
            .map((one, i) => ({ ...one, pointer: `/update/${i}` }))
          const deletes: Operation[] = batch.deletes
            .flatMap(([i, off]) => of(i, off))
            .map((one, i) => ({ ...one, pointer: `/delete/${i}` }))
          const sent = ({ item: { id }, version, change }: Operation) => ({
            id,
            ...(version !== undefined && { version }),
            ...(change !== undefined && { change })
          })
          const payload = {
            ...(batch.creates.length > 0 && { create: batch.creates }),
            ...(updates.length > 0 && { update: updates.map(sent) }),
            ...(deletes.length > 0 && { delete: deletes.map(sent) })
          }
          if (Object.keys(payload).length === 0) return
          const { statusCode, ...rest } = await real.inject(by(real.user(n), 'POST', `${real.url}/batch`, payload))
          const json = rest.json()
          const undone = undoneOf(subject, n, [...updates, ...deletes])
          if (undone !== undefined) {
            const { pointer, code } = undone
            same([statusCode >= 400, json.errors?.[0]?.pointer], [true, pointer], 'what could not be done')
            same(json.code, code, 'why')
            return
          }
          same(statusCode, 200, `the status of ${rest.body.slice(0, 200)}`)
          for (const [i, body] of batch.creates.entries()) {
            isNew(subject, json.created[i], body)
            items.push({ user: n, json: json.created[i], id: json.created[i].id })
          }
          for (const [i, { item, change = {} }] of updates.entries()) {
            isChanged(subject, json.updated[i], item.json as Item, change)
            item.json = json.updated[i]
          }
          const ids = deletes.map(({ item }) => item.id)
          same(json.deleted, ids, 'the deleted ids')
          for (const { item } of deletes) item.json = undefined
        }
      )
    )

const lists = ({ declaration, referable }: Subject, user: fc.Arbitrary<number>) =>
  fc.tuple(user, queriesOf(declaration, referable)).map(([n, query]) =>
    command(
      () => `user ${n} lists ${queryString(query)}`,
      async ({ items }, real) => {
        const listed: unknown[] = []
        let next: string | undefined = `${real.url}?${queryString(query)}&count=exact`
        let total: unknown
        while (next !== undefined) {
          const answer: LightMyRequestResponse = await real.inject(by(real.user(n), 'GET', next))
          same(answer.statusCode, 200, 'the status')
          listed.push(...answer.json())
          total = answer.headers['x-total-count']
          next = nextOf(answer.headers)
        }
        const own = items.flatMap(({ user, json }) => (user === n && json !== undefined ? [json] : []))
        const expected = own.filter((item) => matches(declaration, query, item))
        same(listed, expected.sort(orderOf(declaration, String(query.sort))), `the list of user ${n}`)
        same(Number(total), expected.length, 'the count')
      }
    )
  )

/**
 * Random requests of several users against a model of what each has: creates, also repeated with a key, reads, updates
 * and deletes with and without a precondition, batches, and lists by every filter and order.
 *
 * @param runs how many runs it has, of up to 60 requests each
 */
export function historySuite(t: Suite, subject: Subject, runs: number): void {
  t.test(
    `${subject.declaration.words.plural}: whatever several users do, each has what a model of theirs has`,
    async (t) => {
      const { app, url } = await serve(t, subject)
      let requests = 0
      const user = fc.nat({ max: USERS - 1 })
      // The items of all users, deleted ones included.
      const pick = fc.nat({ max: 30 })
      const [create, reach, batch, list] = [
        creates(subject, user),
        reaches(subject, user, pick),
        batches(subject, user, pick),
        lists(subject, user)
      ]
      const some = fc.commands([create, create, reach, reach, reach, batch, list], { maxCommands: 60, size: 'max' })
      await holds(
        fc.asyncProperty(some, async (commands) => {
          const run = newUser('run')
          const real: Real = {
            url,
            inject(options) {
              requests++
              return app.inject(options)
            },
            user: (n) => `${run}-${n}`
          }
          await fc.asyncModelRun(() => ({ model: { items: [] }, real }), commands)
        }),
        runs,
        SEED
      )
      t.ok(requests > runs * 20, `${requests} requests`)
    }
  )
}
