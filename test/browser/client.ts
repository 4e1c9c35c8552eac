// Uses rowkeeper/client in Chromium, in two tabs of one user and one of another, against the real service and a real
// Better Auth server. A proxy between them drops answers and sheds requests. `CHROMIUM` is the browser's path.
import { request as httpRequest } from 'node:http'
import { build as bundle } from 'esbuild'
import fc from 'fast-check'
import type { BrowserContext, Page } from 'playwright-core'
import t from 'tap'
import { problem, randomMembers, serve, type Task } from '../client/kit.ts'
import { startIssuer } from '../support/issuer.ts'
import { launch } from './chromium.ts'
import type { Action, Tab } from './page.ts'

const OFFLINE_SECONDS = Number(process.env.OFFLINE_SECONDS ?? 60)
const STEPS = Number(process.env.STEPS ?? 500)
const SEED = Number(process.env.SEED ?? 22)
const HOUR_MS = 3_600_000
/** The time in which a tab must show what the service has, after the last disturbance. */
const SETTLE_MS = 60_000

const QUERIES = [{ limit: 5 }, { limit: 4, sort: 'title', completed: false }, { limit: 100, q: 'a', sort: '-dueAt' }]

const { outputFiles } = await bundle({
  bundle: true,
  minify: true,
  format: 'esm',
  write: false,
  platform: 'browser',
  entryPoints: ['dist/test/browser/page.js'],
  external: ['node:*', 'tap', 'fastify']
})
const script = outputFiles[0]?.text ?? ''
t.test('the client in Chromium: two tabs of a user, and one of another (issue 22)', { timeout: 0 }, async (t) => {
  const browser = await launch()
  t.teardown(() => browser.close())
  const issuer = await startIssuer(t)

  /** The origin of the page: the page, the Better Auth server below /api/auth, and the service. */
  const service = await serve(
    t,
    { BETTER_AUTH_URL: issuer.url, RATE_LIMIT_MAX: 'off' },
    undefined,
    (request, response) => {
      const { url = '', method, headers } = request
      if (url === '/' || url === '/page.js') {
        response.writeHead(200, { 'content-type': url === '/' ? 'text/html' : 'text/javascript' })
        response.end(
          url === '/' ? '<!doctype html><title>Tab</title><script type="module" src="/page.js"></script>' : script
        )
        return true
      }
      if (!url.startsWith('/api/auth/')) return false
      const onward = httpRequest(issuer.url + url, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      })
      onward.on('error', () => response.destroy())
      request.pipe(onward)
      return true
    }
  )

  const origin = service.url.replace('127.0.0.1', 'localhost')
  const countsOf = (page: Page) => page.evaluate(() => (globalThis as unknown as { tab: Tab }).tab.counts())
  const run = (page: Page, action: Action) =>
    page.evaluate((action) => (globalThis as unknown as { tab: Tab }).tab.run(action), action) as Promise<never>
  const shown = (page: Page) => page.evaluate(() => (globalThis as unknown as { tab: Tab }).tab.shown())

  /** Opens a tab for a user, with a clock that may be wrong, and a first token of its own. */
  async function open(
    context: BrowserContext,
    session: string,
    queries: object[] = QUERIES,
    { skew = 0, first = '' } = {}
  ): Promise<Page> {
    const page = await context.newPage()
    page.on('pageerror', (error) => t.fail(error.message))
    if (skew !== 0) {
      await page.addInitScript((skew) => {
        const { now } = Date
        Date.now = () => now() + skew
      }, skew)
    }
    await page.goto(origin)
    await page.waitForFunction(() => 'start' in globalThis)
    await page.evaluate(
      (given) => {
        Object.assign(globalThis, given)
        ;(globalThis as unknown as { start(): void }).start()
      },
      { session, queries, first }
    )
    return page
  }

  /** What a list of a user has, by the service itself. */
  async function listOf(token: string, query: object): Promise<Task[]> {
    const items: Task[] = []
    let next: string | undefined = `/api/tasks?${new URLSearchParams({ ...query, limit: '100' } as never)}`
    while (next !== undefined) {
      const answer: Response = await fetch(service.url + next, { headers: { authorization: `Bearer ${token}` } })
      items.push(...((await answer.json()) as Task[]))
      next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1]
    }
    return items
  }

  /** Waits until a tab shows exactly what the service has for its user. */
  async function settles(page: Page, token: string, name: string, queries: object[] = QUERIES): Promise<void> {
    const wanted = await Promise.all(queries.map((query) => listOf(token, query)))
    const isEqual = (lists: Awaited<ReturnType<typeof shown>>) =>
      lists.every(
        ({ rows, pending, loaded, live, hasMore }, i) =>
          loaded &&
          live &&
          pending === 0 &&
          JSON.stringify(rows) === JSON.stringify(wanted[i]?.slice(0, rows.length)) &&
          (hasMore || rows.length === wanted[i]?.length)
      )
    const end = Date.now() + SETTLE_MS
    let lists = await shown(page)
    while (!isEqual(lists) && Date.now() < end) {
      await page.waitForTimeout(20)
      lists = await shown(page)
    }
    if (isEqual(lists)) {
      t.pass(name)
      return
    }
    const titles = (rows: readonly Task[] = []) => rows.map(({ title, version }) => `${title} ${version}`)
    t.same(
      lists.map(({ rows }) => titles(rows)),
      lists.map(({ rows }, i) => titles(wanted[i]?.slice(0, Math.max(rows.length, 1)))),
      `${name}: ${JSON.stringify(lists.map(({ pending, loaded, live, hasMore }) => ({ pending, loaded, live, hasMore })))}`
    )
  }

  const [alice, bob] = [await issuer.signUp(), await issuer.signUp()]
  const tokenOf = (user: typeof alice) => issuer.token(user)
  const context = await browser.newContext()
  const [one, two] = [await open(context, alice.session), await open(context, alice.session)]
  const other = await open(context, bob.session)
  const everybody = async (name: string) => {
    const token = await tokenOf(alice)
    for (const [i, page] of [one, two].entries()) await settles(page, token, `${name}: tab ${i + 1}`)
    await settles(other, await tokenOf(bob), `${name}: another user`)
  }
  const streams = () => service.app.metrics.find(({ name }) => name === 'streams')?.read()

  await everybody('at the start')
  t.equal(streams(), 2, 'two tabs of a user have one stream, and another user has one')

  // 50 requests with a token that has expired: one new one is fetched.
  const past = Math.floor(Date.now() / 1000) - 1000
  const expired = await issuer.mint({ sub: alice.id, iat: past, exp: past + 600 })
  const third = await open(context, alice.session, [], { first: expired })
  t.equal(await run(third, { kind: 'pages', count: 50 }), 50)
  t.match(await countsOf(third), { tokens: 2 })
  await third.close()

  // Each create and each change happens once, though its answer is lost.
  const token = await tokenOf(alice)
  for (let i = 0; i < 10; i++) {
    service.faultNext('POST', i % 2 ? 'cut after' : 'cut before')
    const task: Task = await run(i % 3 ? one : two, { kind: 'create', draft: { title: `a${i}` } })
    service.faultNext('PATCH', i % 2 ? 'cut before' : 'cut after')
    const changed: Task = await run(one, {
      kind: 'change',
      id: task.id,
      change: { completed: true },
      version: task.version
    })
    t.equal(changed.version, 2)
  }
  t.same(
    (await listOf(token, { sort: 'title' })).map(({ title, version }) => `${title} ${version}`),
    [...Array.from({ length: 10 }, (_, i) => `a${i} 2`)]
  )
  await everybody('after answers that were lost')

  // Bursts of 429 and 503: the retries are bounded.
  const before = service.seen.length
  service.fault(({ method, url }) =>
    method === 'GET' && url?.startsWith('/api/tasks')
      ? problem(service.seen.length % 2 ? 429 : 503, service.seen.length % 2 ? 'rate_limited' : 'unavailable', '1')
      : undefined
  )
  t.equal(await run(one, { kind: 'pages', count: 50 }), 0)
  const sent = service.seen.length - before
  t.ok(sent >= 50 + 25 && sent <= 50 + 30 + 10, `${sent} requests were sent for 50 calls`)
  service.fault(() => undefined)
  await everybody('after a burst of 429 and 503')

  // A stream that is killed, and a service that starts again.
  service.cutAll()
  await run(two, { kind: 'create', draft: { title: 'a stream was cut' } })
  await everybody('after the streams were cut')
  await Promise.all([service.restart(), run(one, { kind: 'create', draft: { title: 'a restart' } })])
  await everybody('after a restart')

  // A laptop that sleeps: each tab in turn is frozen, and what happens meanwhile is there when it wakes up.
  for (const [asleep, awake] of [
    [one, two],
    [two, one]
  ] as const) {
    const session = await context.newCDPSession(asleep)
    await session.send('Page.setWebLifecycleState', { state: 'frozen' })
    await run(awake, { kind: 'create', draft: { title: 'a sleep' } })
    service.cutAll()
    await run(awake, { kind: 'create', draft: { title: 'a sleep without a stream' } })
    await session.send('Page.setWebLifecycleState', { state: 'active' })
    await everybody('after a sleep')
  }

  // A clock that is an hour wrong.
  for (const skew of [HOUR_MS, -HOUR_MS]) {
    const page = await open(context, alice.session, QUERIES, { skew })
    await run(page, { kind: 'create', draft: { title: `a clock ${skew}` } })
    await run(page, { kind: 'pages', count: 5 })
    await settles(page, token, `with a clock that is ${skew} ms wrong`)
    t.match(await countsOf(page), { tokens: 1 })
    await page.close()
  }

  // A while without a network, with writes before and after.
  await run(one, { kind: 'create', draft: { title: 'a write before' } })
  await context.setOffline(true)
  service.cutAll()
  const created = await run(two, { kind: 'create', draft: { title: 'a write without a network' } })
  t.match(created, { code: 'connection_lost' })
  await one.waitForTimeout(OFFLINE_SECONDS * 1000)
  await context.setOffline(false)
  await run(one, { kind: 'create', draft: { title: 'a write after' } })
  await everybody(`after ${OFFLINE_SECONDS} seconds without a network`)
  t.notOk((await listOf(token, { q: 'without a network' })).length, 'a write that was refused was not done')

  // Random steps.
  const step = fc.record({
    page: fc.constantFrom(one, two, two, other),
    kind: fc.constantFrom(
      'create',
      'create',
      'change',
      'change',
      'remove',
      'batch',
      'more',
      'cut',
      'shed',
      'lose',
      'undo'
    ),
    item: fc.nat(),
    values: randomMembers,
    wait: fc.boolean()
  })
  const gone = new Map<Page, string[]>([one, two, other].map((page) => [page, []]))

  async function take({ page, kind, item, values }: typeof step extends fc.Arbitrary<infer T> ? T : never) {
    const rows = (await shown(page)).flatMap(({ rows }) => rows).filter(({ version }) => version > 0)
    const row = rows[item % Math.max(rows.length, 1)]
    const undone = gone.get(page) ?? []
    if (kind === 'create') return run(page, { kind, draft: values })
    if (kind === 'more') return run(page, { kind })
    if (kind === 'cut') return service.cutAll()
    if (kind === 'shed') return service.faultNext('GET', problem(503, 'unavailable', '1'), 2)
    if (kind === 'lose') return service.faultNext(item % 2 ? 'POST' : 'PATCH', item % 3 ? 'cut after' : 'cut before')
    if (kind === 'undo' && undone.length > 0) {
      return run(page, { kind: 'create', draft: { id: undone.pop() ?? '', ...values } })
    }
    if (row === undefined) return
    const { id, version } = row
    if (kind === 'change')
      return run(page, { kind, id, change: values, ...(item % 2 ? { version, rebase: true } : {}) })
    if (kind === 'remove') {
      undone.push(id)
      return run(page, { kind, id, version })
    }
    const update = [{ id, change: { completed: values.completed } }]
    return run(page, { kind: 'batch', batch: { create: [values], update } })
  }

  const steps = fc.sample(step, { numRuns: STEPS, seed: SEED })
  for (let from = 0; from < STEPS; from += 50) {
    const running: Promise<unknown>[] = []
    for (const one of steps.slice(from, from + 50)) {
      const taken = take(one)
      running.push(taken)
      if (one.wait) await taken
    }
    await Promise.all(running)
    service.fault(() => undefined)
    await everybody(`after ${from + 50} steps`)
  }

  // Whoever signs out is signed out in each tab, and the next user of the browser gets nothing of theirs.
  await run(two, { kind: 'sign out' })
  await one.waitForFunction(() => (globalThis as unknown as { tab: Tab }).tab.counts().ended)
  t.match(await run(one, { kind: 'create', draft: { title: 'nobody' } }), { code: 'signed_out' })
  await run(other, { kind: 'create', draft: { title: 'a title of Bob' } })
  await settles(other, await tokenOf(bob), 'another user goes on')
  t.equal(streams(), 1)
  t.notMatch(JSON.stringify((await shown(one)).map(({ rows }) => rows)), 'of Bob')
})
