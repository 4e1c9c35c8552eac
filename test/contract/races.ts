import fc from 'fast-check'
import type { LightMyRequestResponse } from 'fastify'
import { newUser } from './application.ts'
import { referencesIn } from './constraints.ts'
import type { Item } from './model.ts'
import { same } from './property.ts'
import { type Referring, serveReference } from './references.ts'
import { behind, listed, type Subject, wallsOf } from './subject.ts'
import type { Suite } from './test.ts'

const ROUNDS = 6
const SEED = 20_261_128

/** The most times that a request is repeated which a deadlock ended. */
const TRIES = 20

/** The versions of an item that were answered, and what it referred to. */
type Versions = Map<number, unknown>

/** What the requests of a round were answered. */
interface Told {
  versions: Map<string, Versions>
  deleted: Set<string>
  /** Rows that an item could not refer to, and items that were not there. */
  refused: Set<string>
  missing: Set<string>
}

/**
 * Writes and deletes rows that refer to each other, all at once: whatever comes first, nothing refers to a row that is
 * not there, and each item is what the answers say.
 */
export function racesSuite(t: Suite, subject: Subject): void {
  const { plural } = subject.declaration.words
  for (const reference of referencesIn(subject.declaration)) {
    for (const rls of wallsOf(subject)) {
      t.test(`${plural}: ${reference.members} holds while rows come, move and go, RLS ${rls} (issue 20)`, async (t) => {
        const referring = await serveReference(t, behind(subject, rls), reference)
        for (let round = 0; round < ROUNDS; round++) await race(subject, referring, round)
        t.pass(`${ROUNDS} rounds`)
      })
    }
  }
}

/** Sends a request until no deadlock ends it, as its problem says that it can be repeated. */
async function settled(send: () => Promise<LightMyRequestResponse>, ...expected: number[]) {
  for (let tries = 0; tries < TRIES; tries++) {
    const answer = await send()
    if (answer.statusCode === 503) continue
    if (!expected.includes(answer.statusCode)) throw new Error(`${answer.statusCode} ${answer.body}`)
    return answer
  }
  throw new Error(`Always a 503, ${TRIES} times`)
}

async function race(subject: Subject, referring: Referring, round: number): Promise<void> {
  const { name, ask, askParent, reference, makeParent, makeChild } = referring
  const user = newUser()
  const parents: string[] = []
  while (parents.length < 4) parents.push(await makeParent(user))
  const told: Told = { versions: new Map(), deleted: new Set(), refused: new Set(), missing: new Set() }
  const tell = ({ id, version, ...item }: Item) => {
    const versions = told.versions.get(id) ?? new Map()
    told.versions.set(id, versions.set(version, item[name]))
  }
  const children: string[] = []
  for (const parent of parents.slice(0, 3)) {
    for (let i = 0; i < 2; i++) {
      const item = (await makeChild(user, parent)) as Item
      tell(item)
      children.push(item.id)
    }
  }

  const create = (to: string) => async () => {
    const body = { ...subject.create(), [name]: to }
    const answer = await settled(() => ask(user, 'POST', '', body), 201, 409)
    if (answer.statusCode === 201) tell(answer.json())
    else refuse(answer, to)
  }
  const refuse = (answer: LightMyRequestResponse, to: string) => {
    same(answer.json().code, 'no_such_reference', 'why')
    told.refused.add(to)
  }
  const move = (id: string, to: string) => async () => {
    const answer = await settled(() => ask(user, 'PUT', `/${id}`, { [name]: to }), 200, 404, 409)
    if (answer.statusCode === 200) tell(answer.json())
    else if (answer.statusCode === 404) told.missing.add(id)
    else refuse(answer, to)
  }
  const remove = (id: string) => async () => {
    const answer = await settled(() => askParent(user, 'DELETE', `/${id}`), 200, 409)
    if (answer.statusCode === 200) told.deleted.add(id)
    else same([answer.json().code, reference.onDelete], ['still_referenced', undefined], 'why')
  }
  const requests = [
    ...parents.flatMap((to) => [create(to), create(to)]),
    ...children.flatMap((id) => parents.map((to) => move(id, to))),
    ...parents.slice(0, 3).map(remove)
  ]
  const [shuffled = []] = fc.sample(fc.shuffledSubarray(requests, { minLength: requests.length }), {
    numRuns: 1,
    seed: SEED + round
  })
  await Promise.all(shuffled.map((send) => send()))

  for (const to of told.refused) if (!told.deleted.has(to)) throw new Error(`${to} was there, and was refused`)
  const there = new Set((await listed(askParent, user)).map(({ id }) => id))
  for (const id of parents) same(there.has(id), !told.deleted.has(id), `the row ${id}`)
  const expected = [...told.versions].flatMap(([id, versions]) => expectedOf(referring, id, versions, told))
  const items = (await listed(ask, user)).filter(({ id }) => told.versions.has(id))
  const byId = (a: string[], b: string[]) => (String(a[0]) < String(b[0]) ? -1 : 1)
  same(items.map((item) => [item.id, `${item.version} ${item[name]}`]).sort(byId), expected.sort(byId), 'the list')
}

/** What an item is after all that was answered: its id, its version and what it refers to. Nothing if it is deleted. */
function expectedOf({ reference: { onDelete } }: Referring, id: string, versions: Versions, told: Told): string[][] {
  const known = [...versions.keys()].sort((a, b) => a - b)
  for (const [i, version] of known.slice(1).entries()) {
    const before = Number(known[i])
    // In between it may have been cleared, if what it referred to was deleted before it moved on.
    const isCleared = version === before + 2 && onDelete === 'clear' && told.deleted.has(String(versions.get(before)))
    if (!isCleared) same(version, before + 1, `the version after ${before} of ${id}`)
  }
  const last = Number(known.at(-1))
  const target = versions.get(last)
  const isGone = told.deleted.has(String(target))
  if (isGone && onDelete === undefined) throw new Error(`${id} refers to ${target}, which was deleted`)
  if (isGone && onDelete === 'cascade') return []
  if (told.missing.has(id)) throw new Error(`${id} is not there, and nothing deleted it`)
  return [[id, isGone ? `${last + 1} null` : `${last} ${target}`]]
}
