import { type TSchema, Type } from '@sinclair/typebox'
import { type SQL, sql } from 'drizzle-orm'
import type { Keywords, Kind } from './kind.ts'
import { arrayLiteral } from './kinds.ts'
import type { Member } from './members.ts'

/** What a filter asks of its members. */
export type Operator = 'equals' | 'oneOf' | 'before' | 'after' | 'atLeast' | 'atMost' | 'contains' | 'has' | 'isNull'

/** A filter of a list, made for the members that it names. */
export interface PlannedFilter {
  /** The schema of its query parameter. */
  schema: TSchema
  /** Its condition. It holds for every row when the parameter is absent, and its placeholders are null. */
  condition: SQL
  /**
   * Its condition where the parameter is given, if there is an index for that. The other one has an `or`, for which a
   * generic plan reads all of the owner's rows.
   */
  indexed: SQL | undefined
  /** The values of its placeholders. */
  values(given: unknown): Record<string, unknown>
}

/** A filter that a declaration gives to a query parameter. `Name` is the name of a member. */
export interface Filter<out Name extends string = string> {
  operator: Operator
  members: readonly Name[]
  /** Says what is wrong with a member, in words that follow its name. */
  fault(member: Member): string | undefined
  plan(members: readonly Member[], parameter: string): PlannedFilter
}

/** The most values of one parameter. */
const VALUES_MAX = 20

const ANNOTATIONS = new Set(['title', 'description', 'examples', 'default', 'readOnly'])

/** The schema of a query parameter: valid values, and what they mean. */
const parameterOf = (schema: Keywords, description: string): TSchema =>
  Type.Unsafe({ ...Object.fromEntries(Object.entries(schema).filter(([name]) => !ANNOTATIONS.has(name))), description })

/** A filter by one member that compares it with one value. */
const comparison = <const Name extends string>(
  operator: Operator,
  name: Name,
  fault: Filter['fault'],
  plan: (
    member: Member,
    value: SQL
  ) => { schema: Keywords; says: string; condition: SQL; kind: Kind; list?: boolean; isIndexed?: boolean }
): Filter<Name> => ({
  operator,
  members: [name],
  fault,
  plan([member], parameter) {
    const placeholder = `filter.${parameter}`
    const written = sql`${sql.placeholder(placeholder)}`
    const { schema, says, condition, kind, list, isIndexed } = plan(member as Member, written)
    const cast = sql.raw(list ? `${kind.cast}[]` : kind.cast)
    const one = parameterOf(schema, says)
    return {
      schema: list ? Type.Array(Type.Unsafe(one), { minItems: 1, maxItems: VALUES_MAX, description: says }) : one,
      condition: sql`${written}::${cast} is null or ${condition}`,
      indexed: isIndexed ? condition : undefined,
      values: (given) => ({
        [placeholder]:
          given === undefined ? null : list ? arrayLiteral((given as unknown[]).map(kind.encode)) : kind.encode(given)
      })
    }
  }
})

const scalar: Filter['fault'] = ({ kind }) =>
  kind.sort === undefined ? 'is an array or a document, which cannot be compared' : undefined

/** Only items whose member has this value. */
export const equals = <const Name extends string>(member: Name): Filter<Name> =>
  comparison('equals', member, scalar, ({ name, column, schema, kind }, value) => ({
    schema,
    kind,
    says: `Only those with this \`${name}\``,
    condition: sql`${column} = ${value}::${sql.raw(kind.cast)}`,
    isIndexed: kind.name === 'reference'
  }))

/** Only items whose member has one of these values. The parameter is repeated for each. */
export const oneOf = <const Name extends string>(member: Name): Filter<Name> =>
  comparison('oneOf', member, scalar, ({ name, column, schema, kind }, value) => ({
    schema,
    kind,
    list: true,
    says: `Only those with one of these as \`${name}\`; repeat the parameter for each`,
    condition: sql`${column} = any(${value}::${sql.raw(kind.cast)}[])`
  }))

const MOMENTS = new Set(['date', 'date-time'])
const WRITTEN: Record<string, string> = { 'date-time': ' (RFC 3339, with an offset)' }

/** A filter by the order of values. */
const ordered =
  (name: Operator, operator: string, says: string, takes: (kind: Kind) => boolean, needs: string) =>
  <const Name extends string>(member: Name): Filter<Name> =>
    comparison(
      name,
      member,
      ({ kind }) => (takes(kind) ? undefined : `is not ${needs}`),
      ({ name, column, kind }, value) => ({
        schema: kind.schema,
        kind,
        says: `Only those with \`${name}\` ${says}${WRITTEN[kind.name] ?? ''}`,
        condition: sql`${column} ${sql.raw(operator)} ${value}::${sql.raw(kind.cast)}`
      })
    )

const isMoment = ({ name }: Kind) => MOMENTS.has(name)
const isOrdered = ({ ordered }: Kind) => ordered === true

/** Only items whose member, a date or a date-time, is before this one. */
export const before = ordered('before', '<', 'before this', isMoment, 'a date or a date-time')

/** Only items whose member, a date or a date-time, is after this one. */
export const after = ordered('after', '>', 'after this', isMoment, 'a date or a date-time')

/** Only items whose member, a number, a date or a date-time, is this or greater. */
export const atLeast = ordered('atLeast', '>=', 'of at least this', isOrdered, 'a number, a date or a date-time')

/** Only items whose member, a number, a date or a date-time, is this or less. */
export const atMost = ordered('atMost', '<=', 'of at most this', isOrdered, 'a number, a date or a date-time')

/** Only items whose member, an array, has this element. */
export const has = <const Name extends string>(member: Name): Filter<Name> =>
  comparison(
    'has',
    member,
    ({ kind }) => (kind.element === undefined ? 'is not an array' : undefined),
    ({ name, column, schema, kind }, value) => {
      const element = kind.element as Kind
      return {
        schema: schema.items as Keywords,
        kind: element,
        says: `Only those that have this in \`${name}\``,
        condition: sql`${value}::${sql.raw(element.cast)} = any(${column})`
      }
    }
  )

const BOOLEAN: Kind = { name: 'boolean', cast: 'boolean', schema: { type: 'boolean' }, bounds: [], encode: (v) => v }

/** Only items whose member is null, or is not. */
export const isNull = <const Name extends string>(member: Name): Filter<Name> =>
  comparison(
    'isNull',
    member,
    ({ nullable }) => (nullable ? undefined : 'is never null'),
    ({ name, column }, value) => ({
      schema: BOOLEAN.schema,
      kind: BOOLEAN,
      says: `Only those without \`${name}\`, or with it`,
      condition: sql`(${column} is null) = ${value}::boolean`
    })
  )

/** The most characters of a text that is looked for. */
const SEARCH_CHARACTERS = 200

/**
 * A letter with an accent is one character or two (Unicode's normalization forms C and D; macOS writes the second), so
 * a text is looked for in both.
 */
function forms(text: string | undefined): [composed: string | null, decomposed: string | null] {
  const [composed, decomposed] = [text?.normalize('NFC') ?? null, text?.normalize('NFD') ?? null]
  return [composed, decomposed === composed ? null : decomposed]
}

/**
 * Only items with this text in one of the members, in upper or lower case. The text is looked for as it is: in a LIKE
 * its `%` and `_` would have a meaning.
 */
export const contains = <const Name extends string>(...members: [Name, ...Name[]]): Filter<Name> => ({
  operator: 'contains',
  members,
  fault: ({ kind }) => (kind.name === 'text' ? undefined : 'is not a text'),
  plan(texts, parameter) {
    const [name, other] = [`filter.${parameter}`, `filter.${parameter}.decomposed`]
    const [composed, decomposed] = [sql.placeholder(name), sql.placeholder(other)]
    const found = (text: unknown) =>
      sql.join(
        texts.map(({ column }) => sql`strpos(lower(${column}), lower(${text}::text)) > 0`),
        sql`\n  or `
      )
    return {
      schema: Type.String({
        minLength: 1,
        maxLength: SEARCH_CHARACTERS,
        format: 'text',
        description: `Only those with this text in \`${members.join('` or `')}\`, in upper or lower case`
      }),
      condition: sql.join([
        sql`${composed}::text is null or ${found(composed)} or `,
        sql`(${decomposed}::text is not null and (${found(decomposed)}))`
      ]),
      indexed: undefined,
      values(given) {
        const [text, alternative] = forms(given as string | undefined)
        return { [name]: text, [other]: alternative }
      }
    }
  }
})
