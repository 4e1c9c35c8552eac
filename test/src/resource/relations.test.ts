import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { uuidv7 } from '../../../src/http/uuid.ts'
import { mount } from '../../contract/mount.ts'
import { asking, listed } from '../../contract/subject.ts'
import { build, newUser } from '../../support/app.ts'
import { type Watch, watch } from '../../support/events.ts'
import { clipsResource, foldersResource, papersResource } from '../../support/papers.ts'

// What the suite of one resource cannot see: folders, papers and clips together.

async function serve(t: Test, rls = 'false') {
  const app = await build(t, { RATE_LIMIT_MAX: 'off', DATABASE_RLS: rls }, async (app) => {
    for (const one of [foldersResource, papersResource, clipsResource]) await mount(app, one)
  })
  const [folders, papers, clips] = ['folders', 'papers', 'clips'].map((name) => asking(app, `/api/${name}`)) as [
    Ask,
    Ask,
    Ask
  ]
  let n = 0
  const make = async (ask: Ask, user: string, body: object): Promise<string> => {
    const answer = await ask(user, 'POST', '', body)
    if (answer.statusCode !== 201) throw new Error(answer.body)
    return answer.json().id
  }
  return {
    app,
    folders,
    papers,
    clips,
    folder: (user: string, parentId: string | null) => make(folders, user, { name: `Folder ${n++}`, parentId }),
    paper: (user: string, folderId: string, movedFrom: string | null = null) =>
      make(papers, user, { title: `Paper ${n++}`, folderId, movedFrom }),
    clip: (user: string, paperId: string) => make(clips, user, { paperId })
  }
}

type Ask = ReturnType<typeof asking>

for (const rls of ['false', 'true']) {
  t.test(`a deleted folder takes all that is in it along, RLS ${rls} (issue 20)`, async (t) => {
    const { app, folders, papers, clips, folder, paper, clip } = await serve(t, rls)
    const user = newUser()
    const root = await folder(user, null)
    const middle = await folder(user, root)
    const leaf = await folder(user, middle)
    const other = await folder(user, null)
    const inside = [await paper(user, root, other), await paper(user, leaf, root), await paper(user, leaf, leaf)]
    const moved = [await paper(user, other, root), await paper(user, other, leaf)]
    const stays = await paper(user, other, other)
    const id = await clip(user, String(inside[1]))
    const state = async () => [await listed(folders, user), await listed(papers, user), await listed(clips, user)]
    const before = await state()

    const detail = 'Your clips still refer to it'
    t.match((await folders(user, 'DELETE', `/${root}`)).json(), { status: 409, code: 'still_referenced', detail })
    const batch = await folders(user, 'POST', '/batch', { delete: [{ id: other }, { id: root }] })
    t.match(batch.json(), { status: 409, code: 'still_referenced', detail, errors: [{ pointer: '/delete/1', detail }] })
    t.same(await state(), before, 'nothing is done while a clip is left')

    await clips(user, 'DELETE', `/${id}`)
    const streams: Watch[] = []
    for (const name of ['folders', 'papers']) {
      const stream = await watch(t, app, user, { url: `/api/${name}/events` })
      t.equal((await stream.next())?.event, 'reload')
      streams.push(stream)
    }
    t.equal((await folders(user, 'DELETE', `/${root}`)).statusCode, 200)
    t.match(await listed(folders, user), [{ id: other }])
    const left = await listed(papers, user)
    t.same(
      left.map(({ id, movedFrom, version }) => [id, movedFrom, version]),
      [
        [stays, other, 1],
        [moved[1], null, 2],
        [moved[0], null, 2]
      ]
    )
    const heard = async (i: number, n: number) => ((await streams[i]?.changes(n)) ?? []).map(String).sort()
    t.same(await heard(0, 3), [root, middle, leaf].map((id) => `deleted,${id},1`).sort())
    t.same(
      await heard(1, 5),
      [...inside.map((id) => `deleted,${id},1`), ...moved.map((id) => `updated,${id},2`)].sort()
    )
    for (const stream of streams) stream.close()
  })
}

t.test('the bound of what follows holds for all levels and tables together (issue 20)', async (t) => {
  const { folders, papers, folder } = await serve(t)
  const user = newUser()
  const root = await folder(user, null)
  const many = async (ask: Ask, count: number, bodyOf: (i: number) => object) => {
    const ids: string[] = []
    while (ids.length < count) {
      const from = ids.length
      const create = Array.from({ length: Math.min(100, count - from) }, (_, i) => bodyOf(from + i))
      const answer = await ask(user, 'POST', '/batch', { create })
      if (answer.statusCode !== 200) throw new Error(answer.body)
      for (const { id } of answer.json().created) ids.push(id)
    }
    return ids
  }
  const inside = await many(folders, 600, (i) => ({ name: `Inside ${i}`, parentId: root }))
  const [one] = await many(papers, 401, (i) => ({ title: `Paper ${i}`, folderId: inside[i] }))
  const counts = async () => [
    (await folders(user, 'GET', '?limit=1&count=exact')).headers['x-total-count'],
    (await papers(user, 'GET', '?limit=1&count=exact')).headers['x-total-count']
  ]
  t.match((await folders(user, 'DELETE', `/${root}`)).json(), {
    status: 409,
    code: 'still_referenced',
    detail: 'Your papers still refer to it, more than 1000 of them'
  })
  t.same(await counts(), ['601', '401'], 'nothing is done')
  await papers(user, 'DELETE', `/${one}`)
  t.equal((await folders(user, 'DELETE', `/${root}`)).statusCode, 200)
  t.same(await counts(), ['0', '0'])
})

t.test('a check holds with what is stored already (issue 20)', async (t) => {
  const { papers, folder, paper } = await serve(t)
  const user = newUser()
  const id = await paper(user, await folder(user, null))
  const [first, second] = ['2030-01-01T00:00:00Z', '2030-01-02T00:00:00Z']
  t.equal((await papers(user, 'PUT', `/${id}`, { startsAt: second })).statusCode, 200, 'with a null it holds')
  const refused = await papers(user, 'PUT', `/${id}`, { endsAt: first })
  t.match(refused.json(), { status: 400, code: 'validation_failed', errors: [{ in: 'body', pointer: '/endsAt' }] })
  t.match((await papers(user, 'PUT', `/${id}`, { startsAt: first, endsAt: second })).json(), { version: 3 })
  // The check is named by one of its members, whichever is at fault.
  const later = await papers(user, 'PUT', `/${id}`, { startsAt: '2030-01-03T00:00:00Z' })
  t.match(later.json(), { status: 400, errors: [{ pointer: '/endsAt' }] })
})

t.test('what a unique set refuses is told of each of its members, and undoes a batch (issue 20)', async (t) => {
  const { clips, folder, paper } = await serve(t)
  const user = newUser()
  const paperId = await paper(user, await folder(user, null))
  await clips(user, 'POST', '', { paperId, label: 'x', code: 'a' })
  const details = (answer: LightMyRequestResponse) => {
    t.match(answer.json(), { status: 409, code: 'not_unique' })
    return answer.json().errors.map((one: { pointer: string; detail: string }) => [one.pointer, one.detail])
  }
  const create = [{ id: uuidv7(), paperId, label: 'new', code: 'a' }]
  t.same(details(await clips(user, 'POST', '/batch', { create })), [['/create/0/code', 'must be unique']])
  t.same(details(await clips(user, 'POST', '', { paperId, label: 'x', code: 'b' })), [
    ['/paperId', 'must be unique together with label'],
    ['/label', 'must be unique together with paperId']
  ])
  t.equal((await listed(clips, user)).length, 1)
})

t.test('of creates that choose one id the first is done, unless they are the same (issue 20)', async (t) => {
  const { folders } = await serve(t)
  const [user, id] = [newUser(), uuidv7()]
  const statuses = []
  for (const name of ['x', 'y', 'x']) statuses.push((await folders(user, 'POST', '', { id, name })).statusCode)
  t.same(statuses, [201, 409, 200])
})

t.test('papers that are made in a tree while its root is deleted are deleted too, or refused (issue 20)', async (t) => {
  const { folders, papers, folder, paper } = await serve(t)
  for (let round = 0; round < 10; round++) {
    const user = newUser()
    const root = await folder(user, null)
    const leaf = await folder(user, await folder(user, root))
    await paper(user, leaf)
    const creates = Array.from({ length: 8 }, (_, i) => () => {
      if (i % 4 === 3) return folders(user, 'POST', '', { name: `Late ${i}`, parentId: leaf })
      return papers(user, 'POST', '', { title: `Late ${i}`, folderId: leaf })
    })
    const remove = () => folders(user, 'DELETE', `/${root}`)
    const requests = [...creates.slice(0, round), remove, ...creates.slice(round)]
    const answers = await Promise.all(requests.map((send) => send()))
    for (const answer of answers) {
      t.ok([200, 201, 409].includes(answer.statusCode), answer.body)
      if (answer.statusCode === 409) t.match(answer.json(), { code: 'no_such_reference' })
    }
    t.equal(answers[Math.min(round, creates.length)]?.statusCode, 200)
    t.same([...(await listed(folders, user)), ...(await listed(papers, user))], [], 'nothing is left')
  }
})
