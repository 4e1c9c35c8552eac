import { type LoadResource, markOf } from './resource.ts'
import type { Known, LoadUser } from './users.ts'

/** A request, and what is wrong with an answer to it: a sentence, or undefined. */
export interface Ask {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  path: string
  token: string
  headers?: Record<string, string>
  body?: string
  fault(status: number, body: string): string | undefined
}

export interface Scenario {
  name: string
  about: string
  /** The next request, of a user at random. */
  next(): Ask
  /** At most so many requests, when there is an end to what can be asked. */
  most?(): number
  /** What is wrong with the answers as a whole, after the last. */
  end?(): string | undefined
}

/** The page size of the service. */
const PAGE = 50

/** How often `part` is in `text`. */
function occurrences(text: string, part: string): number {
  let count = 0
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length)) count++
  return count
}

/**
 * Says what is wrong with the items in an answer: each must be the user's own, and there must be `least` of them. Their
 * text shows whose they are. In a resource without such a text no id may be shown to two users.
 */
function foreignIn({ ownerMember, words }: LoadResource, users: LoadUser[]) {
  const owners = new Map(
    ownerMember === undefined ? users.flatMap(({ sub, items }) => items.map(({ id }) => [id, sub])) : []
  )
  const countById = (body: string, sub: string) => {
    const ids = Array.from(body.matchAll(/"id":"([^"]+)"/g), ([, id]) => id as string)
    // An item may be in a list before its create is answered, so an unknown one belongs to whom it is shown first.
    for (const id of ids) if (!owners.has(id)) owners.set(id, sub)
    return { all: ids.length, own: ids.filter((id) => owners.get(id) === sub).length }
  }
  return (body: string, sub: string, least = 1): string | undefined => {
    const { all, own } =
      ownerMember === undefined
        ? countById(body, sub)
        : {
            all: occurrences(body, `"${ownerMember}":`),
            own: occurrences(body, `"${ownerMember}":"${markOf(sub)}`)
          }
    if (own < all) return `${all - own} of ${all} ${words.plural} are not the caller's own`
    if (all < least) return `${all} ${words.plural} instead of at least ${least}`
    return undefined
  }
}

const wrong = (status: number, expected: number, body: string) =>
  status === expected ? undefined : `${status} instead of ${expected}: ${body.slice(0, 200)}`

const below = (count: number) => Math.floor(Math.random() * count)
const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T

/**
 * The scenarios, in the order in which they run: `delete` takes away what `create` made.
 *
 * @param limitsAddresses whether the service may answer a bad signature by a 429, being one whose limits are not ours
 */
export function scenariosFor(resource: LoadResource, users: LoadUser[], limitsAddresses: boolean): Scenario[] {
  const { path, words } = resource
  const foreign = foreignIn(resource, users)
  const created: { user: LoadUser; id: string }[] = []
  const least = Math.min(PAGE, Math.min(...users.map(({ items }) => items.length)))
  // Updates change one half of the items, so that the versions of the other half stay as they are.
  const halfOf = ({ items }: LoadUser, which: 'changing' | 'constant'): Known => {
    const middle = items.length >> 1
    return pick(which === 'changing' ? items.slice(0, middle) : items.slice(middle))
  }

  function list(): Ask {
    const { sub, token } = pick(users)
    const fault: Ask['fault'] = (status, body) => wrong(status, 200, body) ?? foreign(body, sub, least)
    return { method: 'GET', path, token, fault }
  }

  /** What is wrong with an answer that must be this one item. */
  const isItem =
    (expected: number, sub: string, id: string): Ask['fault'] =>
    (status, body) =>
      wrong(status, expected, body) ??
      foreign(body, sub) ??
      (body.startsWith(`{"id":"${id}"`) ? undefined : `not the ${words.singular} ${id}: ${body.slice(0, 200)}`)

  function get(): Ask {
    const user = pick(users)
    const { id } = pick(user.items)
    return { method: 'GET', path: `${path}/${id}`, token: user.token, fault: isItem(200, user.sub, id) }
  }

  function create(keep = true): Ask {
    const user = pick(users)
    return {
      method: 'POST',
      path,
      token: user.token,
      body: JSON.stringify(resource.created(user.sub)),
      fault(status, body) {
        const id = body.slice(7, 43)
        const fault = isItem(201, user.sub, id)(status, body)
        if (fault === undefined && keep) created.push({ user, id })
        return fault
      }
    }
  }

  function update(): Ask {
    const user = pick(users)
    const { id } = halfOf(user, 'changing')
    return {
      method: 'PUT',
      path: `${path}/${id}`,
      token: user.token,
      body: JSON.stringify(resource.changed(user.sub)),
      fault: isItem(200, user.sub, id)
    }
  }

  function remove(): Ask {
    const { user, id } = created.pop() ?? { user: pick(users), id: '00000000-0000-4000-8000-000000000000' }
    const fault: Ask['fault'] = (status, body) =>
      wrong(status, 200, body) ??
      (body === `{"detail":"${words.capitalized} deleted"}` ? undefined : `unexpected: ${body}`)
    return { method: 'DELETE', path: `${path}/${id}`, token: user.token, fault }
  }

  function mixed(): Ask {
    const die = Math.random() * 100
    if (die < 70) return list()
    if (die < 85) return get()
    return die < 95 ? create(false) : update()
  }

  function unchanged(): Ask {
    const user = pick(users)
    const { id, version } = halfOf(user, 'constant')
    return {
      method: 'GET',
      path: `${path}/${id}`,
      token: user.token,
      headers: { 'if-none-match': `"${version}"` },
      fault: (status, body) => wrong(status, 304, body) ?? (body === '' ? undefined : `a 304 with a body: ${body}`)
    }
  }

  function forged(): Ask {
    // The claims of one user with the signature of another user's token.
    const at = below(users.length)
    const [one, other] = [at, at + 1 + below(users.length - 1)].map((i) => users[i % users.length]?.token ?? '')
    return {
      method: 'GET',
      path,
      token: `${one?.slice(0, one.lastIndexOf('.'))}${other?.slice(other.lastIndexOf('.'))}`,
      fault(status, body) {
        if (limitsAddresses && status === 429) return undefined
        return wrong(status, 401, body) ?? (body.includes('"token_signature"') ? undefined : `unexpected: ${body}`)
      }
    }
  }

  return [
    { name: 'list', about: `GET ${path}, a page of ${PAGE}`, next: list },
    { name: 'get', about: `GET ${path}/{id}`, next: get },
    { name: 'create', about: `POST ${path}`, next: create },
    { name: 'update', about: `PUT ${path}/{id}`, next: update },
    { name: 'delete', about: `DELETE ${path}/{id}, of what create made`, next: remove, most: () => created.length },
    { name: 'mixed', about: '70 % list, 15 % get, 10 % create, 5 % update', next: mixed },
    { name: '304', about: `GET ${path}/{id} with If-None-Match`, next: unchanged },
    { name: 'bad signature', about: `GET ${path}, refused by a 401`, next: forged }
  ]
}

/** What a service announces of its limit of users (`RateLimit-Policy`, `RateLimit`). */
export interface Budget {
  max: number
  windowSeconds: number
  left: number
  /** Until it is `max` again. */
  renewsIn: number
}

/** Reads the fields of an answer; undefined when there is no such limit. */
export function budgetOf(headers: Headers): Budget | undefined {
  const [, max, windowSeconds] = /"user";q=(\d+);w=(\d+)/.exec(headers.get('ratelimit-policy') ?? '') ?? []
  const [, left, renewsIn] = /"user";r=(\d+);t=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? []
  if (max === undefined || left === undefined) return undefined
  return { max: Number(max), windowSeconds: Number(windowSeconds), left: Number(left), renewsIn: Number(renewsIn) }
}

/** One user past the limit: what is left of the budget is served, then everything is a 429. */
export function limited(path: string, token: string, { max, windowSeconds, left, renewsIn }: Budget): Scenario {
  const began = performance.now()
  let [asked, served, refused] = [0, 0, 0]
  const budget = () => {
    // The field has whole seconds, rounded up.
    const since = (performance.now() - began) / 1000 + 1 - renewsIn
    return since < 0 ? left : left + max * (1 + Math.floor(since / windowSeconds))
  }
  return {
    name: '429',
    about: `GET ${path}, of one user who may ask ${max} times in ${windowSeconds} s`,
    next() {
      asked++
      return {
        method: 'GET',
        path,
        token,
        fault(status, body) {
          if (status === 200) return ++served > budget() ? `${served} served of a budget of ${budget()}` : undefined
          refused++
          return wrong(status, 429, body) ?? (body.includes('"rate_limited"') ? undefined : `unexpected: ${body}`)
        }
      }
    },
    // A 429 may arrive before a 200 that was sent earlier, and whatever is under way at the end may be a 200.
    end: () => (refused > 0 && asked - refused < left ? `${served} served of a budget of ${left}` : undefined)
  }
}
