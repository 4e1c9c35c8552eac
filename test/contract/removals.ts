import { CASCADE_MAX } from '../../src/resource/cascade.ts'
import { newUser } from './application.ts'
import { referencesIn } from './constraints.ts'
import { watch } from './events.ts'
import type { Item } from './model.ts'
import { type Referring, serveReference } from './references.ts'
import { behind, listed, type Subject, wallsOf } from './subject.ts'
import type { Suite, Test } from './test.ts'

/** Holds a resource to what its references say of the deletion of what they refer to. */
export function removalsSuite(t: Suite, subject: Subject): void {
  const { plural } = subject.declaration.words
  for (const reference of referencesIn(subject.declaration)) {
    const { onDelete = 'restrict' } = reference
    for (const rls of wallsOf(subject)) {
      t.test(
        `${plural}: ${reference.members} is ${onDelete} when its row is deleted, RLS ${rls} (issue 20)`,
        async (t) => {
          const referring = await serveReference(t, behind(subject, rls), reference)
          if (onDelete === 'restrict') testRestrict(t, subject, referring)
          else testFollow(t, referring)
          if (referring.isSelf) testTrees(t, subject, referring)
        }
      )
    }
    if (onDelete !== 'restrict') testBound(t, subject, reference)
  }
}

function testRestrict(t: Test, { declaration }: Subject, { ask, askParent, makeParent, makeChild }: Referring): void {
  t.test('a row that is referred to stays', async (t) => {
    const user = newUser()
    const [free, used] = [await makeParent(user), await makeParent(user)]
    const { id } = await makeChild(user, used)
    const before = [await listed(ask, user), await listed(askParent, user)]
    const detail = `Your ${declaration.tableName.replaceAll('_', ' ')} still refer to it`
    const alone = await askParent(user, 'DELETE', `/${used}`)
    t.match(alone.json(), { status: 409, code: 'still_referenced', detail })
    t.equal(alone.json().errors, undefined)
    t.equal(alone.headers['retry-after'], undefined, 'the same request cannot succeed later')
    const batch = await askParent(user, 'POST', '/batch', { delete: [{ id: free }, { id: used }] })
    t.match(batch.json(), { status: 409, code: 'still_referenced', detail })
    t.same(batch.json().errors, [{ in: 'body', pointer: '/delete/1', detail }])
    t.same([await listed(ask, user), await listed(askParent, user)], before, 'nothing is done')
    await ask(user, 'DELETE', `/${id}`)
    t.equal((await askParent(user, 'DELETE', `/${used}`)).statusCode, 200)
  })
}

/** An item whose reference was made null. */
const cleared = ({ version, updatedAt: _then, ...item }: Item, name: string) => ({
  ...item,
  version: version + 1,
  [name]: null
})

/** What becomes of items, of which `deleted` were deleted, and the events of it. */
function modelOf({ name, reference: { onDelete } }: Referring, items: Item[], deleted: readonly string[]) {
  const refers = (item: Item) => deleted.includes(String(item[name]))
  const followers = items.filter((item) => refers(item) && !deleted.includes(item.id))
  const after = items
    .filter(({ id }) => !deleted.includes(id))
    .flatMap((item) => (!refers(item) ? [item] : onDelete === 'cascade' ? [] : [cleared(item, name)]))
  const kind = onDelete === 'cascade' ? 'deleted' : 'updated'
  const told = followers.map(({ id, version }) => `${kind} ${id} ${onDelete === 'cascade' ? version : version + 1}`)
  return { after, told: told.sort() }
}

/** Items without the time of an update where the model knows none. */
const comparable = (items: object[], model: object[]) =>
  items.map(({ updatedAt, ...item }: Partial<Item>, i) =>
    model[i] && 'updatedAt' in model[i] ? { ...item, updatedAt } : item
  )

function testFollow(t: Test, referring: Referring): void {
  const { app, url, name, ask, askParent, isSelf, makeParent, makeChild } = referring

  for (const how of ['alone', 'in a batch', 'in a version'] as const) {
    t.test(
      `what refers to a row that is deleted ${how} follows it, with a record (${referring.reference.onDelete})`,
      async (t) => {
        const [user, other] = [newUser(), newUser()]
        const [gone, kept, foreign] = [await makeParent(user), await makeParent(user), await makeParent(other)]
        for (const to of [gone, kept, gone, gone]) {
          const { id } = await makeChild(user, to)
          await ask(user, 'PUT', `/${id}`, { [name]: to })
        }
        await makeChild(other, foreign)
        const [before, others] = [await listed(ask, user), await listed(ask, other)]
        const { after, told } = modelOf(referring, before, [gone])
        const stream = await watch(t, app, user, { url: `${url}/events` })
        t.equal((await stream.next())?.event, 'reload')

        const refuses = async (headers: Record<string, string>, status: number) => {
          const refused = await askParent(user, 'DELETE', `/${gone}`, undefined, headers)
          t.equal(refused.statusCode, status)
          t.same(await listed(ask, user), before, 'nothing is done')
        }
        await refuses({ 'if-match': '"7"' }, 412)
        await refuses({ 'if-none-match': '"1"' }, 412)
        t.equal((await askParent(other, 'DELETE', `/${gone}`)).statusCode, 404, 'nobody else deletes it')
        const late = await askParent(user, 'POST', '/batch', { delete: [{ id: gone }, { id: kept, version: 7 }] })
        t.match(late.json(), { status: 412, errors: [{ pointer: '/delete/1' }] })
        await refuses({ 'if-match': '"7"' }, 412)

        const headers = how === 'in a version' ? { 'if-match': '"1"' } : {}
        const done =
          how === 'in a batch'
            ? await askParent(user, 'POST', '/batch', { delete: [{ id: gone, version: 1 }] })
            : await askParent(user, 'DELETE', `/${gone}`, undefined, headers)
        t.equal(done.statusCode, 200)
        const now = await listed(ask, user)
        t.same(comparable(now, after), after)
        for (const item of now) t.ok(String(item.updatedAt) >= String(item.createdAt))
        t.same(await listed(ask, other), others)
        const expected = [...told, ...(isSelf ? [`deleted ${gone} 1`] : [])].sort()
        const heard = await stream.changes(expected.length)
        stream.close()
        t.same(heard.map((event) => event.join(' ')).sort(), expected)
        t.equal((await askParent(user, 'DELETE', `/${gone}`)).statusCode, 404)
      }
    )
  }
}

/** Rows that refer to rows of their own table, which refer to others in turn. */
function testTrees(t: Test, subject: Subject, referring: Referring): void {
  const { app, url, name, ask, reference, makeChild } = referring
  const isCascade = reference.onDelete === 'cascade'

  /** A root, of which each of three levels has two more, and a tree beside it. Returns their ids by level. */
  async function grow(user: string): Promise<string[][]> {
    const levels: string[][] = [[(await makeChild(user, null)).id]]
    await makeChild(user, (await makeChild(user, null)).id)
    for (let depth = 0; depth < 3; depth++) {
      const level: string[] = []
      for (const id of levels.at(-1) ?? []) for (let i = 0; i < 2; i++) level.push((await makeChild(user, id)).id)
      levels.push(level)
    }
    return levels
  }

  /** What a delete of `id` deletes: the row, and with `cascade` all that refer to it or to those. */
  function following(items: Item[], id: string): string[] {
    const found = [id]
    if (isCascade) {
      for (const one of found) {
        for (const item of items) if (item[name] === one && !found.includes(item.id)) found.push(item.id)
      }
    }
    return found
  }

  t.test('so it goes through the levels of a tree', async (t) => {
    const user = newUser()
    const [[root = ''], [middle = '']] = (await grow(user)) as [string[], string[]]
    for (const id of [middle, root]) {
      const before = await listed(ask, user)
      const deleted = following(before, id)
      const { after, told } = modelOf(referring, before, deleted)
      const stream = await watch(t, app, user, { url: `${url}/events` })
      t.equal((await stream.next())?.event, 'reload')
      t.equal((await ask(user, 'DELETE', `/${id}`)).statusCode, 200)
      t.same(comparable(await listed(ask, user), after), after)
      const versions = new Map(before.map((item) => [item.id, item.version]))
      const expected = [...told, ...deleted.map((one) => `deleted ${one} ${versions.get(one)}`)].sort()
      t.same((await stream.changes(expected.length)).map((event) => event.join(' ')).sort(), expected)
      stream.close()
    }
  })

  t.test('a batch that fails does nothing, though a delete of it is under way', async (t) => {
    const user = newUser()
    const [[root = ''], [taken = '']] = (await grow(user)) as [string[], string[]]
    const before = await listed(ask, user)
    const create = [{ ...subject.create(), id: taken }]
    const answer = await ask(user, 'POST', '/batch', { create, delete: [{ id: root }] })
    t.match(answer.json(), { status: 409, code: 'already_exists', errors: [{ pointer: '/create/0/id' }] })
    t.same(await listed(ask, user), before)
  })

  t.test('a row can refer to itself, and rows in a circle', async (t) => {
    const user = newUser()
    const alone = (await makeChild(user, null)).id
    await ask(user, 'PUT', `/${alone}`, { [name]: alone })
    const stream = await watch(t, app, user, { url: `${url}/events` })
    t.equal((await stream.next())?.event, 'reload')
    t.equal((await ask(user, 'DELETE', `/${alone}`)).statusCode, 200)
    t.same(await stream.changes(1), [['deleted', alone, 2]], 'what is deleted is not cleared before')
    stream.close()
    const a = (await makeChild(user, null)).id
    const b = (await makeChild(user, a)).id
    t.equal((await ask(user, 'PUT', `/${a}`, { [name]: b })).statusCode, 200)
    t.equal((await ask(user, 'DELETE', `/${a}`)).statusCode, 200)
    t.match(await listed(ask, user), isCascade ? [] : [{ id: b, [name]: null, version: 2 }])
  })

  t.test('a batch finds what an operation before took with it', async (t) => {
    const user = newUser()
    const root = (await makeChild(user, null)).id
    const leaf = (await makeChild(user, root)).id
    const before = await listed(ask, user)
    const down = await ask(user, 'POST', '/batch', { delete: [{ id: root }, { id: leaf }] })
    t.equal(down.statusCode, isCascade ? 404 : 200)
    if (!isCascade) return
    t.match(down.json(), { errors: [{ pointer: '/delete/1' }] })
    t.same(await listed(ask, user), before, 'nothing is done')
    t.equal((await ask(user, 'POST', '/batch', { delete: [{ id: leaf }, { id: root }] })).statusCode, 200)
    t.same(await listed(ask, user), [])
  })
}

/** A delete that too many rows would follow. */
function testBound(t: Suite, subject: Subject, reference: Referring['reference']): void {
  const { declaration, create } = subject
  t.test(`${declaration.words.plural}: at most ${CASCADE_MAX} follow ${reference.members} (issue 20)`, async (t) => {
    const { name, ask, askParent, isSelf, makeParent } = await serveReference(t, subject, reference)
    const user = newUser()
    const gone = await makeParent(user)
    const make = async (n: number) => {
      const bodies = Array.from({ length: n }, () => ({ ...create(), [name]: gone }))
      const answer = await ask(user, 'POST', '/batch', { create: bodies })
      if (answer.statusCode !== 200) throw new Error(answer.body)
      return answer.json().created[0].id
    }
    for (let n = 0; n < CASCADE_MAX; n += 100) await make(100)
    const one = await make(1)
    const count = async () => Number((await ask(user, 'GET', '?limit=1&count=exact')).headers['x-total-count'])
    const there = CASCADE_MAX + 1 + (isSelf ? 1 : 0)
    const detail = `Your ${declaration.tableName.replaceAll('_', ' ')} still refer to it, more than ${CASCADE_MAX} of them`
    const refused = { status: 409, code: 'still_referenced', detail }
    const alone = await askParent(user, 'DELETE', `/${gone}`)
    t.match(alone.json(), refused)
    t.equal(alone.headers['retry-after'], undefined)
    const batch = await askParent(user, 'POST', '/batch', { delete: [{ id: gone }] })
    t.match(batch.json(), { ...refused, errors: [{ pointer: '/delete/0', detail }] })
    t.equal(await count(), there, 'nothing is done')
    t.match((await ask(user, 'GET', `/${one}`)).json(), { [name]: gone, version: 1 })
    await ask(user, 'DELETE', `/${one}`)
    t.equal((await askParent(user, 'DELETE', `/${gone}`)).statusCode, 200)
    t.equal(await count(), reference.onDelete === 'cascade' ? 0 : CASCADE_MAX)
  })
}
