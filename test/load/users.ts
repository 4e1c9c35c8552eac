import type { Values } from '../../src/resource/schemas.ts'
import { type LoadResource, markOf } from './resource.ts'

const CONCURRENCY = 8
const PAGE = 100

/** An item as it was when the service was filled. */
export interface Known {
  id: string
  version: number
}

/** A user of the load test. */
export interface LoadUser {
  sub: string
  token: string
  items: Known[]
}

/** One call of the API, which must succeed. */
async function call(base: string, path: string, token: string, body?: unknown): Promise<Response> {
  const answer = await fetch(new URL(path, base), {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) })
  })
  if (!answer.ok) throw new Error(`${base} answers ${answer.status} while it is filled: ${await answer.text()}`)
  return answer
}

async function itemsOf(base: string, path: string, token: string) {
  const items: (Known & Values)[] = []
  let next: string | undefined = `${path}?limit=${PAGE}`
  while (next !== undefined) {
    const answer: Response = await call(base, next, token)
    items.push(...((await answer.json()) as typeof items))
    next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1]
  }
  return items
}

/** Gives a user exactly `count` items, whatever an earlier run left. */
async function fill(base: string, resource: LoadResource, sub: string, token: string, count: number) {
  const { path, ownerMember, filled } = resource
  const isMarked = (item: Values) => ownerMember === undefined || String(item[ownerMember]).startsWith(markOf(sub))
  const found = await itemsOf(base, path, token)
  const items: Known[] = found.filter(isMarked).slice(0, count)
  const surplus = found.filter((item) => !items.includes(item))
  for (let at = 0; at < surplus.length; at += PAGE) {
    await call(base, `${path}/batch`, token, { delete: surplus.slice(at, at + PAGE).map(({ id }) => ({ id })) })
  }
  while (items.length < count) {
    const length = Math.min(PAGE, count - items.length)
    const create = Array.from({ length }, (_, i) => filled(sub, items.length + i + 1))
    const answer = await call(base, `${path}/batch`, token, { create })
    items.push(...((await answer.json()) as { created: Known[] }).created)
  }
  return { sub, token, items: items.map(({ id, version }) => ({ id, version })) }
}

/**
 * Fills a service through its API, which is one way for every engine and for a service that runs elsewhere.
 *
 * @param tokenOf makes the token of a user
 * @param progress is told how much is done, from 0 to 1
 */
export async function populate(
  base: string,
  resource: LoadResource,
  { users, items }: { users: number; items: number },
  tokenOf: (sub: string) => Promise<string>,
  progress: (done: number) => void
): Promise<LoadUser[]> {
  const filled: LoadUser[] = []
  let next = 1
  async function work() {
    while (next <= users) {
      const sub = `load-${next++}`
      filled.push(await fill(base, resource, sub, await tokenOf(sub), items))
      progress(filled.length / users)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
  return filled
}
