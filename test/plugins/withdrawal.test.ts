import t, { type Test } from 'tap'
import { Key } from '../../src/auth/key.ts'
import { build, claimsOf, metric, newUser } from '../support/app.ts'
import { type Watch, watch } from '../support/events.ts'
import { type KeyPair, keyPair } from '../support/key-pair.ts'
import { keyServer, publish, until } from '../support/key-server.ts'

// Issue 15, number 11: a stream does not outlive the key that verified its token.

const APP = 'https://app.example.com'
const old = keyPair('EdDSA', 'old')
const next = keyPair('EdDSA', 'next')

const headersOf = (key: KeyPair, sub: string) => ({
  authorization: `Bearer ${key.token(claimsOf(sub, { iss: APP, aud: APP }))}`
})

/**
 * The application with the key `old`, which `rotate` replaces, and a stream of one change whose item is loaded by
 * `load`.
 */
async function setUp(t: Test, load: () => Promise<{ id: string; json: string }[]> = async () => []) {
  const server = await keyServer(t, publish([old.jwk]))
  const app = await build(t, { BETTER_AUTH_URL: APP, JWKS_URL: server.url, RATE_LIMIT_MAX: 'off' }, (app) => {
    app.get('/loading', { onRequest: app.authenticate }, (request, reply) =>
      app.sendChanges(request, reply, [{ resource: 'tasks', member: 'task', load }])
    )
  })
  await until(() => app.hasKeys())
  const create = (key: KeyPair, user: string) =>
    app.inject({ method: 'POST', url: '/api/tasks', headers: headersOf(key, user), payload: { title: 'x' } })
  return {
    app,
    create,
    open: (key: KeyPair, user = newUser(), url?: string): Promise<Watch> =>
      watch(t, app, user, { headers: headersOf(key, user), ...(url !== undefined && { url }) }),
    async rotate() {
      server.answer(publish([next.jwk]))
      t.equal((await app.inject({ url: '/api/session', headers: headersOf(next, 'alice') })).json().user.sub, 'alice')
    }
  }
}

const END = { event: 'end', data: '{"reason":"token_expired"}' }

t.test('a stream ends with the key that verified its token, and no other does', async (t) => {
  const { app, open, create, rotate } = await setUp(t)
  const streams = [await open(old), await open(old)]
  for (const stream of streams) t.match(await stream.next(), { event: 'reload' })
  await rotate()
  for (const stream of streams) {
    t.match(await stream.next(), END)
    t.equal(await stream.next(), undefined)
  }
  await until(() => metric(app, 'streams') === 0)
  const user = newUser()
  const other = await open(next, user)
  t.match(await other.next(), { event: 'reload' })
  const { id } = (await create(next, user)).json()
  t.same(await other.changes(1), [['created', id, 1]])
})

t.test('nothing that was being loaded is sent once the key is withdrawn', async (t) => {
  let loaded = () => {}
  let loading = () => {}
  const begun = new Promise<void>((resolve) => (loading = resolve))
  const { open, create, rotate } = await setUp(t, () => {
    loading()
    return new Promise((resolve) => (loaded = () => resolve([])))
  })
  const user = newUser()
  const stream = await open(old, user, '/loading')
  t.match(await stream.next(), { event: 'reload' })
  await create(old, user)
  await begun
  await rotate()
  loaded()
  t.match(await stream.next(), END)
})

t.test('what depends on a key that is withdrawn already ends at once', async (t) => {
  const key = new Key('EdDSA', () => true)
  key.withdraw()
  let ended = 0
  key.onWithdrawn(() => ended++)
  t.equal(ended, 1)
})
