import type { FastifyInstance } from 'fastify'
import type { ReferenceConstraint } from '../../src/db/constraints.ts'
import type { Declaration } from '../../src/resource/declaration.ts'
import { newUser } from './application.ts'
import { referencesIn } from './constraints.ts'
import { type Statement, watchStatements } from './statements.ts'
import { type Ask, asking, behind, listed, type Subject, serve, UNKNOWN, urlOf, visible, wallsOf } from './subject.ts'
import type { Suite, Test } from './test.ts'

/** A reference of a resource under test, and the resource that it refers to, in an application. */
export interface Referring {
  app: FastifyInstance
  reference: ReferenceConstraint
  /** The member. */
  name: string
  /** Sends requests to the resource, and to the one that it refers to. */
  ask: Ask
  askParent: Ask
  url: string
  parent: Declaration
  isSelf: boolean
  /** Creates a row that can be referred to, and returns its id. */
  makeParent(user: string): Promise<string>
  /** Creates an item that refers to it, and returns the item. */
  makeChild(user: string, parent: string | null): Promise<{ id: string; version: number }>
}

/** Serves a resource for the tests of one of its references. */
export async function serveReference(t: Test, subject: Subject, reference: ReferenceConstraint): Promise<Referring> {
  const { app, url } = await serve(t, subject)
  const name = String(reference.members[0])
  const all = [subject.declaration, ...subject.parents.map(({ declaration }) => declaration)]
  const parent = all.find(({ table }) => table === reference.target)
  if (parent === undefined) throw new Error(`The reference ${name} needs its resource among the parents.`)
  const [ask, askParent] = [asking(app, url), asking(app, String(urlOf(app, parent)))]
  const make = async (asked: Ask, user: string, body: object) => {
    const answer = await asked(user, 'POST', '', body)
    if (answer.statusCode !== 201) throw new Error(answer.body)
    return answer.json()
  }
  return {
    app,
    reference,
    name,
    ask,
    askParent,
    url,
    parent,
    isSelf: parent === subject.declaration,
    makeParent: async (user) => (await make(askParent, user, subject.parent(parent))).id,
    makeChild: (user, id) => make(ask, user, { ...subject.create(), [name]: id })
  }
}

/** Holds a resource to each of its references: they lead to rows of the same user, and what is filtered by them. */
export function referencesSuite(t: Suite, subject: Subject): void {
  const { plural } = subject.declaration.words
  for (const reference of referencesIn(subject.declaration)) {
    for (const rls of wallsOf(subject)) {
      t.test(`${plural}: ${reference.members} is a row of the same user, RLS ${rls} (issue 20)`, async (t) => {
        const one = await serveReference(t, behind(subject, rls), reference)
        testTargets(t, subject, one)
        testFilters(t, subject, one)
      })
    }
  }
}

function testTargets(t: Test, { create, change }: Subject, referring: Referring): void {
  const { name, ask, askParent, parent, isSelf, makeParent, makeChild } = referring

  t.test('what is foreign, unknown or deleted is refused, byte for byte and statement for statement', async (t) => {
    const [alice, mallory] = [newUser('alice'), newUser('mallory')]
    const foreign = await makeParent(alice)
    const own = await makeParent(mallory)
    const deleted = await makeParent(mallory)
    t.equal((await askParent(mallory, 'DELETE', `/${deleted}`)).statusCode, 200)
    const { id } = await makeChild(mallory, own)
    const [before, hers] = [await listed(ask, mallory), await listed(ask, alice)]
    for (const [method, path, bodyOf, at] of [
      ['POST', '', (to: string) => ({ ...create(), [name]: to }), ''],
      ['PUT', `/${id}`, (to: string) => ({ [name]: to }), ''],
      ['PATCH', `/${id}`, (to: string) => ({ ...change(), [name]: to }), ''],
      ['POST', '/batch', (to: string) => ({ create: [create(), { ...create(), [name]: to }, create()] }), '/create/1'],
      ['POST', '/batch', (to: string) => ({ update: [{ id, change: { [name]: to } }] }), '/update/0/change']
    ] as const) {
      const attempt = async (to: string) => {
        const sent: Statement[] = []
        const stop = watchStatements((statement) => sent.push(statement))
        const answer = await ask(mallory, method, path, bodyOf(to))
        stop()
        return { answer, seen: { ...visible(answer), statements: sent.map(({ text }) => text) } }
      }
      // The first of a connection is prepared.
      await attempt(UNKNOWN)
      const { answer, seen } = await attempt(UNKNOWN)
      const detail = `must be the id of one of your ${parent.tableName.replaceAll('_', ' ')}`
      t.match(answer.json(), { status: 409, code: 'no_such_reference' }, `${method} ${path}`)
      t.same(answer.json().errors, [{ in: 'body', pointer: `${at}/${name}`, detail }])
      t.equal(answer.headers['retry-after'], undefined, 'the same request cannot succeed later')
      t.ok(seen.statements.length > 0)
      for (const [what, to] of Object.entries({ foreign, deleted, upper: foreign.toUpperCase() })) {
        t.same((await attempt(to)).seen, seen, `${what} is as unknown`)
      }
    }
    t.same(await listed(ask, mallory), before, 'nothing is done')
    t.same(await listed(ask, alice), hers)
  })

  t.test('what is the user’s own is taken, in whatever case', async (t) => {
    const user = newUser()
    const [one, two] = [await makeParent(user), await makeParent(user)]
    const child = await makeChild(user, one.toUpperCase())
    t.match(child, { [name]: one })
    t.match((await ask(user, 'PUT', `/${child.id}`, { [name]: two })).json(), { [name]: two, version: 2 })
    const update = [{ id: child.id, change: { [name]: one } }]
    const batch = { create: [{ ...create(), [name]: two }], update }
    const { created, updated } = (await ask(user, 'POST', '/batch', batch)).json()
    t.match([created[0][name], updated[0][name]], [two, one])
    if (!isSelf) return
    t.match((await ask(user, 'PUT', `/${child.id}`, { [name]: child.id })).json(), { [name]: child.id }, 'itself too')
  })
}

function testFilters(t: Test, { declaration }: Subject, { name, ask, makeParent, makeChild }: Referring): void {
  const [equals, isNull] = (['equals', 'isNull'] as const).map((wanted) =>
    declaration.filters.find(({ operator, members }) => operator === wanted && members[0] === name)
  )
  if (equals === undefined && isNull === undefined) return
  t.test('lists are filtered by it', async (t) => {
    const [user, other] = [newUser(), newUser()]
    const [one, two] = [await makeParent(user), await makeParent(user)]
    const foreign = await makeParent(other)
    await makeChild(other, foreign)
    const isNullable = declaration.members.some((member) => member.name === name && member.nullable)
    for (const to of [one, two, one, ...(isNullable ? [null] : [])]) await makeChild(user, to)
    const items = await listed(ask, user)
    if (equals !== undefined) {
      for (const to of [one, two, foreign, UNKNOWN]) {
        const found = await listed(ask, user, `&${equals.name}=${to}`)
        t.same(
          found,
          items.filter((item) => item[name] === to)
        )
      }
    }
    if (isNull === undefined) return
    for (const value of [true, false]) {
      const found = await listed(ask, user, `&${isNull.name}=${value}`)
      t.same(
        found,
        items.filter((item) => (item[name] === null) === value)
      )
    }
  })
}
