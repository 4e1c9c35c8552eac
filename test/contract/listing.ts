import { Reference } from '../../src/db/reference.ts'
import type { NamedFilter } from '../../src/resource/declaration.ts'
import { DEFAULT_SORT } from '../../src/resource/query.ts'
import { newUser } from './application.ts'
import { type Item, matches, orderOf } from './model.ts'
import { same } from './property.ts'
import { by, nextOf, type Subject, serve } from './subject.ts'
import type { Suite } from './test.ts'
import { queryString, telling } from './values.ts'

/** How many items there are at least. */
const LEAST = 24

type Query = Record<string, unknown>

/** Bodies that give each member each of its telling values, and sometimes leave it out. */
function bodiesOf({ declaration, valuesOf, kept }: Subject) {
  const given = declaration.members
    .filter(({ setBy }) => setBy !== 'server')
    .map((member) => ({ ...member, values: valuesOf(member) }))
  const body = (_: unknown, i: number) =>
    kept(
      Object.fromEntries(
        given.flatMap(({ name, required, values }, j) =>
          !required && (i + j) % 11 === 10 ? [] : [[name, values[(i + j) % values.length]]]
        )
      )
    )
  return { least: Math.max(LEAST, ...given.map(({ values }) => values.length)), body }
}

/** Values of a filter. Items have the telling ones, so it lets some of them through. */
function valuesOf({ declaration, valuesOf }: Subject, { operator, schema, members: [name] }: NamedFilter): unknown[] {
  const member = declaration.members.find((one) => one.name === name)
  if (operator === 'equals' && member !== undefined && member.column instanceof Reference) {
    return [...valuesOf(member).filter((value) => value !== null), ...telling(schema)]
  }
  if (operator !== 'oneOf') return telling(schema)
  const values = telling(schema.items as Query)
  return [...values.map((one) => [one]), values.slice(0, 3), values.slice(-2)]
}

const linksOf = (link: unknown) =>
  Object.fromEntries([...String(link).matchAll(/<([^>]+)>; rel="(\w+)"/g)].map(([, url, rel]) => [rel, String(url)]))

/**
 * Lists items that have each telling value of each member, in each order and by each filter alone, against the model.
 * Each page has one item or few, so that each value comes to stand in a cursor.
 */
export function listingSuite(t: Suite, subject: Subject): void {
  const { declaration } = subject
  const { plural } = declaration.words
  const sorts = declaration.sorts.map(({ name }) => name)

  t.test(`${plural}: each order and each filter lists what it says`, async (t) => {
    const { app, url } = await serve(t, subject)
    const [user, other] = [newUser(), newUser()]
    const items: Item[] = []
    let created = ''
    const { least, body } = bodiesOf(subject)
    const create = Array.from({ length: least }, body)
    for (const one of [user, other]) {
      const answer = await app.inject(by(one, 'POST', `${url}/batch`, { create }))
      t.equal(answer.statusCode, 200)
      if (one !== user) continue
      created = answer.body
      items.push(...answer.json().created)
    }
    const ask = (query: Query) => app.inject(by(user, 'GET', `${url}?${queryString(query)}`))
    const expected = (query: Query) =>
      items.filter((item) => matches(declaration, query, item)).sort(orderOf(declaration, String(query.sort)))

    /** All pages of a list. */
    async function all(query: Query) {
      const wanted = expected(query)
      const listed: Item[] = []
      let next: string | undefined = `${url}?${queryString({ ...query, count: 'exact' })}`
      while (next !== undefined) {
        const answer = await app.inject(by(user, 'GET', next))
        if (answer.statusCode !== 200) throw new Error(`${next}: ${answer.body}`)
        listed.push(...answer.json())
        same(answer.headers['x-total-count'], String(wanted.length), `the count of ${next}`)
        const { next: following, first } = linksOf(answer.headers.link)
        const { sort, ...rest } = { ...query, count: 'exact' } as Query
        const asked = new URLSearchParams(queryString({ ...rest, ...(sort !== DEFAULT_SORT && { sort }) }))
        // A link that would be too long is left out.
        if (first !== undefined || following === undefined || following.length < 500) {
          const got = new URL(String(first), 'http://localhost').searchParams
          same([...got].map(String).sort(), [...asked].map(String).sort(), `the first page of ${next}`)
        }
        if (listed.length > wanted.length) throw new Error(`${next} lists more than ${wanted.length} items`)
        next = following
      }
      same(listed, wanted, `the list ${queryString(query)}`)
    }

    t.test('an item is the same bytes alone, in a list and in the answer to its creation (issue 19)', async (t) => {
      const singles = []
      for (const { id } of items) singles.push((await app.inject(by(user, 'GET', `${url}/${id}`))).body)
      t.equal(created, `{"created":[${singles.join()}],"updated":[],"deleted":[]}`)
      const listed = []
      for (let next: string | undefined = `${url}?limit=100`; next !== undefined; ) {
        const answer = await app.inject(by(user, 'GET', next))
        listed.push(answer.body.slice(1, -1))
        next = nextOf(answer.headers)
      }
      const separator = declaration.hasDocuments ? ',\n' : ','
      t.equal(listed.join(separator), [...singles].reverse().join(separator))
    })

    t.test('in each order', async () => {
      for (const sort of sorts) await all({ sort, limit: sort.startsWith('-') ? 3 : 1 })
    })

    t.test('by each filter alone, in the order of creation and in others', async () => {
      for (const [i, filter] of declaration.filters.entries()) {
        for (const [j, value] of valuesOf(subject, filter).entries()) {
          const sort = j % 3 === 2 ? sorts[(i + j) % sorts.length] : DEFAULT_SORT
          await all({ sort, limit: 3 + (j % 3), [filter.name]: value })
        }
      }
    })

    t.test('a cursor is good for its own order and filters only', async (t) => {
      const cursorOf = async (query: Query) => {
        const { next } = linksOf((await ask({ ...query, limit: 1 })).headers.link)
        return next === undefined ? undefined : new URL(next, 'http://localhost').searchParams.get('cursor')
      }
      const refuses = async (query: Query, what: string) =>
        t.match(
          (await ask(query)).json(),
          { status: 400, code: 'validation_failed', errors: [{ in: 'query', pointer: '/cursor' }] },
          what
        )
      for (const [i, sort] of sorts.entries()) {
        const cursor = await cursorOf({ sort })
        t.equal((await ask({ sort, cursor, limit: 2 })).statusCode, 200, sort)
        const reverse = sort.startsWith('-') ? sort.slice(1) : `-${sort}`
        for (const other of new Set([reverse, sorts[(i + 2) % sorts.length], sorts[(i + 3) % sorts.length]])) {
          if (other !== sort) await refuses({ sort: other, cursor }, `${sort} is not ${other}`)
        }
      }
      const plain = { sort: DEFAULT_SORT, limit: 1 }
      const cursor = String(await cursorOf(plain))
      await refuses({ ...plain, cursor: cursor.slice(0, -4) }, 'a part of a cursor')
      await refuses({ ...plain, cursor: `${cursor}AAAA` }, 'a cursor with more')
      await refuses({ ...plain, cursor: `AAAA${cursor.slice(4)}` }, 'a cursor with another start')
      for (const filter of declaration.filters) {
        const [value, another] = valuesOf(subject, filter)
        await refuses({ ...plain, cursor, [filter.name]: value }, `with ${filter.name}`)
        const filtered = await cursorOf({ ...plain, [filter.name]: value })
        if (filtered === undefined) continue
        await refuses({ ...plain, cursor: filtered }, `without ${filter.name}`)
        await refuses({ ...plain, cursor: filtered, [filter.name]: another }, `with another ${filter.name}`)
      }
    })

    t.test('a page has as many as it says', async (t) => {
      const more = Array.from({ length: 101 - items.length }, body)
      t.equal((await app.inject(by(user, 'POST', `${url}/batch`, { create: more }))).statusCode, 200)
      t.equal((await ask({})).json().length, 50)
      t.equal((await ask({ limit: 100 })).json().length, 100)
      for (const limit of [0, 101, 'x', 1.5]) {
        t.match((await ask({ limit })).json(), { status: 400, errors: [{ pointer: '/limit' }] }, `${limit}`)
      }
      t.equal((await ask({})).headers['x-total-count'], undefined, 'a count only when it is asked for')
    })
  })
}
