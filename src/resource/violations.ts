import { getTableName } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import { type Constraint, constraintsOf } from '../db/constraints.ts'
import { violatedConstraint } from '../db/errors.ts'
import { Problem, type ProblemCode, type ValidationIssue } from '../http/problems.ts'
import { pluralOf } from './words.ts'

const at = (members: readonly string[], detail: (member: string) => string): ValidationIssue[] =>
  members.map((member) => ({ in: 'body', pointer: `/${member}`, detail: detail(member) }))

/** What a unique set says of one of its members. */
function sharedDetail(members: readonly string[], member: string): string {
  const others = members.filter((one) => one !== member)
  return others.length === 0 ? 'must be unique' : `must be unique together with ${others.join(' and ')}`
}

/** The problem of a constraint that an insert or an update violates, and its issues. */
function describe(constraint: Constraint): [ProblemCode, ValidationIssue[]] {
  const { kind, members } = constraint
  if (kind === 'unique') return ['not_unique', at(members, (member) => sharedDetail(members, member))]
  if (kind === 'check') return ['validation_failed', at(members, () => 'is not allowed together with the others')]
  const plural = pluralOf(getTableName(constraint.target))
  return ['no_such_reference', at(members, () => `must be the id of one of your ${plural}`)]
}

/**
 * The problem of an insert or an update that violates a constraint of its table, by the name that we gave it; the error
 * itself if it is another one.
 */
export function problemOfWrite(constraints: ReadonlyMap<string, Constraint>, error: unknown): unknown {
  const constraint = constraints.get(violatedConstraint(error) ?? '')
  return constraint === undefined ? error : new Problem(...describe(constraint))
}

/** The problem of a delete, if rows of one of `tables` still refer to the item. */
export function problemOfRemoval(tables: Iterable<PgTable>, error: unknown): unknown {
  const violated = violatedConstraint(error)
  if (violated === undefined) return error
  const table = [...tables].find((one) => constraintsOf(one).some(({ name }) => name === violated))
  return table === undefined ? error : stillReferenced(table)
}

/** `still_referenced`, which names the resource. */
export const stillReferenced = (table: PgTable, more = ''): Problem =>
  new Problem('still_referenced', undefined, `Your ${pluralOf(getTableName(table))} still refer to it${more}`)
