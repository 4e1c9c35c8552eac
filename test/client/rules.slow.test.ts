import fc from 'fast-check'
import t from 'tap'
import { createClient } from '../../client/index.ts'
import { rulesOf } from '../../client/rules.ts'
import type { Row } from '../../client/types.ts'
import { mount } from '../contract/mount.ts'
import { bodiesOf, queriesOf } from '../contract/values.ts'
import { newUser, tokenFor } from '../support/app.ts'
import samples from '../support/samples.ts'
import { serve } from './kit.ts'

type Item = Row & Record<string, unknown>
interface Body<T> {
  content: { 'application/json': T }
}
interface Paths {
  '/api/samples': {
    get: { parameters: { query?: Record<string, unknown> }; responses: { 200: Body<Item[]> } }
    post: { requestBody: Body<Record<string, unknown>>; responses: { 201: Body<Item> } }
  }
  '/api/samples/{id}': { patch: { requestBody: Body<object>; responses: { 200: Body<Item> } } }
}

const SEED = 20261129
const ITEMS = 80
const QUERIES = 250

t.test('the client filters and sorts as the service does, whatever the kind of a member (issue 22)', async (t) => {
  const service = await serve(t, { RATE_LIMIT_MAX: 'off' }, (app) => mount(app, samples))
  const user = newUser()
  const client = createClient<Paths>({ url: service.url, token: async () => tokenFor(user) })
  const resource = client.resource('/api/samples')
  const items: Item[] = []
  for (const body of fc.sample(bodiesOf(samples.declaration).creates, { numRuns: ITEMS, seed: SEED })) {
    items.push(await resource.create(body))
  }
  const changes = fc.sample(bodiesOf(samples.declaration).changes, { numRuns: ITEMS / 4, seed: SEED })
  for (const [i, change] of changes.entries()) {
    const { id } = items[4 * i] as Item
    items[4 * i] = await resource.change(id, change)
  }
  const document = await (await fetch(`${service.url}/openapi.json`)).json()
  const idsOf = (all: Item[]) => all.map(({ id }) => id)
  let found = 0
  for (const drawn of fc.sample(queriesOf(samples.declaration), { numRuns: QUERIES, seed: SEED })) {
    const query = { ...drawn, limit: 100 }
    const { matches, compare } = rulesOf(document, '/api/samples', query)
    const here = items.filter(matches).sort(compare)
    const listed: Item[] = []
    for await (const item of resource.list(query)) listed.push(item)
    found += listed.length
    if (JSON.stringify(idsOf(here)) !== JSON.stringify(idsOf(listed))) {
      const key = String(drawn.sort ?? 'createdAt').replace('-', '')
      t.same(
        here.map((item) => [item.id, item[key]]),
        listed.map((item) => [item.id, item[key]]),
        JSON.stringify(query)
      )
      return
    }
  }
  t.ok(found > 2 * QUERIES, `the queries found ${found} items`)
  const { defaults } = rulesOf(document, '/api/samples', {})
  t.match(defaults, { count: 0, status: 'new', tags: [], origin: 'web', note: null, score: 0 })
})
