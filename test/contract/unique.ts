import type { UniqueConstraint } from '../../src/db/constraints.ts'
import { uuidv7 } from '../../src/http/uuid.ts'
import { newUser } from './application.ts'
import { type Body, tellersOf, uniqueSetsIn } from './constraints.ts'
import { asking, behind, listed, type Subject, serve, wallsOf } from './subject.ts'
import type { Suite } from './test.ts'

/** How many creates of the same there are at once. */
const AT_ONCE = 30

/** A text whose letters have an upper and a lower case. */
const TEXT = 'Aa Zz'

const pick = (body: Body, names: readonly string[]): Body => Object.fromEntries(names.map((name) => [name, body[name]]))

/** The issues of a set, at `path`. */
const issuesOf = ({ members }: UniqueConstraint, path = '') =>
  members.map((member) => ({
    in: 'body',
    pointer: `${path}/${member}`,
    detail:
      members.length === 1
        ? 'must be unique'
        : `must be unique together with ${members.filter((one) => one !== member).join(' and ')}`
  }))

/** Holds a resource to each unique set of its table: among the rows of a user, and of no two users. */
export function uniqueSuite(t: Suite, subject: Subject): void {
  for (const [i, set] of uniqueSetsIn(subject.declaration).entries()) {
    for (const rls of wallsOf(subject)) setSuite(t, behind(subject, rls), set, i, rls)
  }
}

function setSuite(t: Suite, subject: Subject, unique: UniqueConstraint, i: number, rls: string): void {
  const { declaration, create, change } = subject
  const { members, set } = unique
  const name = String(tellersOf(declaration)[i]?.member.name)
  /** Bodies that are the same in the set, and differ in the others. */
  const alike = (text: unknown = TEXT) => {
    const one = { ...create(), [name]: text }
    const shared = pick(one, members)
    return { one, shared, another: () => ({ ...create(), ...shared }) }
  }
  const refused = { status: 409, code: 'not_unique' }

  t.test(`${declaration.words.plural}: ${members} are unique for each user, RLS ${rls} (issue 20)`, async (t) => {
    const { app, url } = await serve(t, subject)
    const ask = asking(app, url)

    t.test('a create and an update of what there is are refused, with a pointer to each member', async (t) => {
      const [alice, bob] = [newUser('alice'), newUser('bob')]
      const { one, shared, another } = alike()
      const first = await ask(alice, 'POST', '', one)
      t.equal(first.statusCode, 201)
      const other = `/${(await ask(alice, 'POST', '', create())).json().id}`
      const before = await listed(ask, alice)
      for (const [method, path, body] of [
        ['POST', '', another()],
        ['POST', '', { ...another(), id: uuidv7() }],
        ['PUT', other, shared],
        ['PATCH', other, { ...change(), ...shared }]
      ] as const) {
        const answer = await ask(alice, method, path, body)
        t.same(pick(answer.json(), ['status', 'code', 'errors']), { ...refused, errors: issuesOf(unique) }, method)
        t.equal(answer.headers['retry-after'], undefined, 'the same request cannot succeed later')
      }
      t.same(await listed(ask, alice), before, 'nothing is done')
      t.equal((await ask(alice, 'PUT', `/${first.json().id}`, shared)).statusCode, 200, 'an item may stay as it is')
      t.equal((await ask(bob, 'POST', '', another())).statusCode, 201, 'two users never conflict')
      await ask(alice, 'DELETE', `/${first.json().id}`)
      t.equal((await ask(alice, 'POST', '', another())).statusCode, 201, 'what is deleted is free again')
    })

    t.test('a batch is refused with pointers to the first operation that conflicts', async (t) => {
      const user = newUser()
      const { one, shared, another } = alike()
      const { id } = (await ask(user, 'POST', '', create())).json()
      const before = await listed(ask, user)
      const both = { create: [create(), one, another(), another()], update: [{ id, change: shared }] }
      for (const [body, path] of [
        [both, '/create/2'],
        [
          {
            create: [one],
            update: [
              { id, change: change() },
              { id, change: shared }
            ]
          },
          '/update/1/change'
        ]
      ] as const) {
        const answer = await ask(user, 'POST', '/batch', body)
        t.same(pick(answer.json(), ['status', 'code', 'errors']), { ...refused, errors: issuesOf(unique, path) })
        t.equal(answer.headers['retry-after'], undefined)
        t.same(await listed(ask, user), before, 'nothing is done')
      }
      const taken = await ask(user, 'POST', '/batch', { create: [{ ...create(), id }, one, another()] })
      t.match(taken.json(), { code: 'already_exists', errors: [{ pointer: '/create/0/id' }] }, 'so it is for an id')
      t.same(await listed(ask, user), before, 'nothing is done')
      t.equal((await ask(user, 'POST', '/batch', { create: [one] })).statusCode, 200)
    })

    t.test('texts that differ in case only are the same if the set says so', async (t) => {
      const user = newUser()
      const { one, another } = alike()
      await ask(user, 'POST', '', one)
      for (const text of [TEXT.toLowerCase(), TEXT.toUpperCase()]) {
        const answer = await ask(user, 'POST', '', { ...another(), [name]: text })
        t.equal(answer.statusCode, set.caseInsensitive ? 409 : 201, text)
      }
      t.equal((await ask(user, 'POST', '', { ...another(), [name]: `${TEXT}.` })).statusCode, 201)
    })

    t.test('of many creates of the same at once one is done', async (t) => {
      const user = newUser()
      const { one, another } = alike()
      await ask(user, 'POST', '', create())
      const bodies = [one, ...Array.from({ length: AT_ONCE - 1 }, another)]
      const answers = await Promise.all(bodies.map((body) => ask(user, 'POST', '', body)))
      t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1)
      const others = answers.filter(({ statusCode }) => statusCode !== 201).map((answer) => answer.json().code)
      t.same([...new Set(others)], ['not_unique'])
      t.equal((await listed(ask, user)).length, 2)
    })

    const isNullable = declaration.members.some((member) => member.name === name && member.nullable)
    if (!isNullable) return
    t.test('null is a value as any other, or none', async (t) => {
      const user = newUser()
      const { one, another } = alike(null)
      const { [name]: _null, ...absent } = another()
      t.equal((await ask(user, 'POST', '', one)).statusCode, 201)
      for (const body of [another(), absent]) {
        t.equal((await ask(user, 'POST', '', body)).statusCode, set.nullsNotDistinct ? 409 : 201)
      }
    })
  })
}
