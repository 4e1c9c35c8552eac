import type { PgTable } from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import type { ReferenceConstraint, UniqueConstraint } from '../../src/db/constraints.ts'
import type { Declaration } from '../../src/resource/declaration.ts'
import type { Member } from '../../src/resource/members.ts'

export type Body = Record<string, unknown>

/** The ids of rows that every user has, by their table. Ids are unique within an owner only. */
export type Referable = ReadonlyMap<PgTable, readonly string[]>

/** The references of a resource. */
export const referencesIn = ({ constraints }: Declaration): ReferenceConstraint[] =>
  [...constraints.values()].filter((one) => one.kind === 'reference')

/** The unique sets of a resource. */
export const uniqueSetsIn = ({ constraints }: Declaration): UniqueConstraint[] =>
  [...constraints.values()].filter((one) => one.kind === 'unique')

/**
 * The ids that a member can have which is a reference: those of the rows that every user has. There is none for a
 * reference to the resource itself. Undefined for a member that is no reference.
 */
export function referableBy(
  declaration: Declaration,
  referable: Referable,
  name: string
): readonly string[] | undefined {
  const reference = referencesIn(declaration).find(({ members }) => members[0] === name)
  return reference === undefined ? undefined : (referable.get(reference.target) ?? [])
}

const isFreeText = ({ kind, schema, setBy }: Member) =>
  kind.name === 'text' && setBy !== 'server' && schema.enum === undefined && schema.pattern === undefined

/** The members that keep the unique sets when they differ in all bodies: a text of each set. */
export function tellersOf(declaration: Declaration): { member: Member; evenNull: boolean }[] {
  return uniqueSetsIn(declaration).map(({ members, set }) => {
    const member = declaration.members.find((one) => members.includes(one.name) && isFreeText(one))
    if (member === undefined) throw new Error(`The unique set ${members.join()} has no text to tell its rows apart.`)
    return { member, evenNull: set.nullsNotDistinct === true }
  })
}

/** The text with a mark at its end, as long as the member takes it. */
const marked = ({ schema }: Member, text: unknown, mark: string) => {
  const most = Number(schema.maxLength)
  const end = mark.slice(-most)
  return [...String(text)].slice(0, most - end.length).join('') + end
}

/** Makes a body differ from all others in each unique set. No two bodies have the same mark. */
export function distinct(declaration: Declaration, body: Body, mark: string, isCreate: boolean): Body {
  const made = { ...body }
  for (const { member, evenNull } of tellersOf(declaration)) {
    const { [member.name]: given } = made
    if (typeof given === 'string') made[member.name] = marked(member, given, mark)
    else if (evenNull && (isCreate || given === null)) made[member.name] = marked(member, '', mark)
  }
  return made
}

/** Marks of which no two are the same. Without a bias: otherwise fast-check prefers small numbers. */
export const marks = fc.noBias(fc.uuid()).map((uuid) => uuid.slice(-12))
