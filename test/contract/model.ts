import type { Declaration, NamedFilter } from '../../src/resource/declaration.ts'
import type { Kind } from '../../src/resource/kind.ts'
import type { Member } from '../../src/resource/members.ts'
import { answered } from './values.ts'

/** An item as it was answered. */
export type Item = Record<string, unknown> & { id: string; version: number }

const lower = (text: string) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
const compareBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const start = (text: string) => [...text].slice(0, 200).join('')

/** A decimal number as an integer, of so many decimal places that none is lost. */
const scaled = (text: string) => {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? []
  return BigInt(`${sign}${whole}${fraction.padEnd(60, '0')}`)
}

/** The order of two values of a kind, as docs/api.md says it. */
function compareValues({ name, schema }: Kind, a: unknown, b: unknown): number {
  if (name === 'text') return compareBytes(lower(start(String(a))), lower(start(String(b))))
  if (name === 'numeric') return Number(scaled(String(a)) - scaled(String(b)))
  if (name === 'enum') {
    const labels = schema.enum as unknown[]
    return labels.indexOf(a) - labels.indexOf(b)
  }
  if (typeof a === 'string') return compareBytes(a, String(b))
  return Number(a) - Number(b)
}

/** The member of a name, `createdAt` and `updatedAt` included. */
function kindOf({ members }: Declaration, name: string): Kind {
  const found = members.find((member) => member.name === name)
  return found?.kind ?? ({ name: 'date-time', schema: {} } as Kind)
}

/** Compares items in the order of a list. */
export function orderOf(declaration: Declaration, sort: string) {
  const direction = sort.startsWith('-') ? -1 : 1
  const name = sort.replace('-', '')
  const kind = kindOf(declaration, name)
  const byKey = (a: Item, b: Item) => {
    if (name === 'createdAt') return 0
    const [left, right] = [a[name], b[name]]
    // Items without a value come last both ways.
    if (left === null || right === null) return left === right ? 0 : left === null ? direction : -direction
    return compareValues(kind, left, right)
  }
  return (a: Item, b: Item) => direction * (byKey(a, b) || compareBytes(a.id, b.id))
}

/** A text is found in composed and in decomposed letters. */
const contains = (item: Item, names: readonly string[], text: string) =>
  names.some((name) =>
    ['NFC', 'NFD'].some((form) => lower(String(item[name] ?? '')).includes(lower(text.normalize(form))))
  )

/** Whether a filter with the value `given` lets an item through. */
function passes(declaration: Declaration, { operator, members }: NamedFilter, given: unknown, item: Item): boolean {
  const [name = ''] = members
  const kind = kindOf(declaration, name)
  const value = item[name]
  if (operator === 'isNull') return (value === null) === given
  if (operator === 'contains') return contains(item, members, String(given))
  if (value === null) return false
  if (operator === 'has') return (value as unknown[]).includes(given)
  const wanted = [given].flat().map((one) => answered({ kind } as Member, one))
  if (operator === 'equals' || operator === 'oneOf') return wanted.includes(value)
  const difference = compareValues(kind, value, wanted[0])
  if (operator === 'before') return difference < 0
  if (operator === 'after') return difference > 0
  return operator === 'atLeast' ? difference >= 0 : difference <= 0
}

/** Whether a list with these filters has an item. */
export const matches = (declaration: Declaration, query: Record<string, unknown>, item: Item) =>
  declaration.filters.every((one) => query[one.name] === undefined || passes(declaration, one, query[one.name], item))
