import fc from 'fast-check'
import type { LightMyRequestResponse } from 'fastify'
import { newUser } from './application.ts'
import { type Item, matches, orderOf } from './model.ts'
import { holds, same, shown } from './property.ts'
import { by, nextOf, type Subject, serve } from './subject.ts'
import type { Suite } from './test.ts'
import { queriesOf, queryString } from './values.ts'

const SEED = 20_261_125

/**
 * Reads lists page by page while items come and go: no page skips or repeats what stays, in each order and with each
 * filter.
 */
export function pagingSuite(t: Suite, subject: Subject, runs: number): void {
  const { declaration, referable } = subject
  const step = fc.oneof(
    subject.creates.map((create) => ({ create })),
    fc.nat().map((remove) => ({ remove }))
  )
  const history = fc.record({
    query: queriesOf(declaration, referable),
    before: fc.array(subject.creates, { minLength: 2, maxLength: 12, size: 'max' }),
    updates: fc.array(fc.tuple(fc.nat(), subject.changes), { maxLength: 5 }),
    // The steps after each page.
    meanwhile: fc.array(fc.array(step, { maxLength: 3 }), { maxLength: 8, size: 'max' })
  })
  type History = typeof history extends fc.Arbitrary<infer S> ? S : never

  t.test(
    `${declaration.words.plural}: pages neither skip nor repeat what stays, whatever comes and goes`,
    async (t) => {
      const { app, url: collection } = await serve(t, subject)
      let pages = 0

      async function run({ query, before, updates, meanwhile }: History) {
        const user = newUser()
        const items = new Map<string, Item>()
        const removed = new Set<string>()
        const write = async (method: 'POST' | 'PUT', url: string, body: object) => {
          const answer = await app.inject(by(user, method, url, body))
          if (answer.statusCode >= 400) throw new Error(answer.body)
          const item: Item = answer.json()
          items.set(item.id, item)
        }
        const pick = (n: number) => [...items.keys()][n % items.size]

        for (const body of before) await write('POST', collection, body)
        for (const [n, body] of updates) {
          const id = pick(n)
          if (id !== undefined) await write('PUT', `${collection}/${id}`, body)
        }
        const there = new Map(items)

        const listed: Item[] = []
        let url: string | undefined = `${collection}?${queryString(query)}`
        while (url !== undefined) {
          const answer: LightMyRequestResponse = await app.inject(by(user, 'GET', url))
          if (answer.statusCode !== 200) throw new Error(answer.body)
          const page: Item[] = answer.json()
          pages++
          if (page.length > Number(query.limit)) throw new Error(`a page of ${page.length}`)
          for (const { id } of page) if (!items.has(id)) throw new Error(`${id} was deleted before`)
          listed.push(...page)
          url = nextOf(answer.headers)
          for (const step of meanwhile.shift() ?? []) {
            if ('create' in step) await write('POST', collection, step.create)
            else {
              const id = pick(step.remove)
              if (id === undefined) continue
              await app.inject(by(user, 'DELETE', `${collection}/${id}`))
              items.delete(id)
              removed.add(id)
            }
          }
        }

        const compare = orderOf(declaration, String(query.sort))
        same(listed, listed.toSorted(compare), 'the order')
        if (new Set(listed.map(({ id }) => id)).size < listed.length) throw new Error('an item came twice')
        for (const item of listed) {
          if (!matches(declaration, query, item)) throw new Error(`${shown(item)} does not match`)
        }
        const stayed = [...there.values()].filter((item) => !removed.has(item.id) && matches(declaration, query, item))
        same(
          listed.filter(({ id }) => there.has(id) && !removed.has(id)),
          stayed.sort(compare),
          'what stayed'
        )
      }

      await holds(fc.asyncProperty(history, run), runs, SEED)
      t.ok(pages > runs, `${pages} pages`)
    }
  )
}
