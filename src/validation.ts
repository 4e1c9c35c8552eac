import type { TSchema } from '@sinclair/typebox'
import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify'
import { Problem, type ProblemCode } from './errors.ts'

/** Any UUID of RFC 9562, of every version and variant; case does not matter. */
export const UUID_PATTERN = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'

// RFC 3339 with an offset, to the microsecond that PostgreSQL keeps; a leap second has no place in a timestamptz.
const MOMENT = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:[0-5]\d)(\.\d{1,6})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/**
 * A moment in UTC, with the fraction of a second as it was written; undefined for text that is none. Years outside
 * 0001 to 9999 are none, before and after the shift to UTC.
 */
function inUtc(text: string): string | undefined {
  const match = MOMENT.exec(text)
  if (match === null) return undefined
  const [, date, time, fraction = '', offset] = match as unknown as [string, string, string, string | undefined, string]
  // Date would drop what is below a millisecond, so the fraction stays out of it.
  const local = new Date(`${date}T${time}Z`)
  // Date takes the 31st of a short month for the 1st of the next.
  if (Number.isNaN(local.getTime()) || !local.toISOString().startsWith(date) || date.startsWith('0000'))
    return undefined
  const shifted = new Date(`${date}T${time}${offset.toUpperCase()}`)
  const utc = shifted.toISOString()
  return utc.length === 24 && !utc.startsWith('0000') ? `${utc.slice(0, 19)}${fraction}Z` : undefined
}

/** A moment that passed the `moment` format, in UTC; null stays null. */
export const toUtc = (text: string | null) => (text === null ? null : (inUtc(text) as string))

/** Text that can be stored as it is: PostgreSQL refuses U+0000, and a lone surrogate would become another character. */
export const isStorable = (text: string) => text.isWellFormed() && !text.includes('\u0000')

/** Whether text is a moment: RFC 3339 with an offset, of years 0001 to 9999, to the microsecond at most. */
export const isMoment = (text: string) => inUtc(text) !== undefined

// A body says its types itself, and nothing is coerced.
const compiler = (allErrors: boolean) => {
  const ajv = new Ajv({ allErrors, allowUnionTypes: true })
  addFormats.default(ajv)
  ajv.addFormat('moment', isMoment)
  ajv.addFormat('storable', isStorable)
  return ajv
}

const [toFirstFault, toLastFault] = [compiler(false), compiler(true)]

/** For a larger request only the first fault is reported. A valid batch of 100 operations has about 1,600 values. */
const MAX_VALUES_FOR_ALL_FAULTS = 2000

/** Whether a value has few enough in it, itself included, to look for all faults. */
function isSmall(value: unknown): boolean {
  const left = [value]
  let values = 1
  while (left.length > 0) {
    const one = left.pop()
    if (typeof one !== 'object' || one === null) continue
    const inner = Object.values(one)
    values += inner.length
    if (values > MAX_VALUES_FOR_ALL_FAULTS) return false
    left.push(...inner)
  }
  return true
}

/**
 * Compiles a schema. `allErrors` of AJV has no bound: it goes on after `maxItems`, and makes an error of each unknown
 * member. So the first fault ends the first look, and only at what is small a second one follows, which finds them all.
 */
function compile(schema: TSchema): ValidateFunction {
  const [first, all] = [toFirstFault.compile(schema), toLastFault.compile(schema)]
  const validate = (value: unknown) => {
    const valid = first(value)
    validate.errors = first.errors
    if (!valid && isSmall(value)) {
      all(value)
      validate.errors = all.errors
    }
    return valid
  }
  validate.errors = first.errors
  return validate as ValidateFunction
}

// Of AJV's own coercion `0x10`, `1e1` and ` 5 ` would come out as numbers. What is not one of these stays text, and is
// refused.
const READERS: Record<string, (text: string) => unknown> = {
  integer: (text) => (/^\d+$/.test(text) ? Number(text) : text),
  boolean: (text) => (text === 'true' ? true : text === 'false' ? false : text)
}

/**
 * Compiles the schema of a query string, which is all text: integers are decimal digits, booleans `true` or `false`.
 */
function compileQuery(schema: TSchema): ValidateFunction {
  const validate = compile(schema)
  const read = Object.entries<TSchema>(schema.properties).flatMap(([name, { type }]) => {
    const reader = READERS[type]
    return reader === undefined ? [] : [[name, reader] as const]
  })
  const reading = (query: Record<string, unknown>) => {
    for (const [name, reader] of read) {
      const text = query[name]
      if (typeof text === 'string') query[name] = reader(text)
    }
    const valid = validate(query)
    reading.errors = validate.errors
    return valid
  }
  reading.errors = validate.errors
  return reading as ValidateFunction
}

/** Compiles the schemas of the routes, once, at start. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) =>
  httpPart === 'querystring' ? compileQuery(schema) : compile(schema)

// What our own formats ask for, in words.
const MESSAGES: Record<string, string> = {
  storable: 'must NOT contain U+0000 or a lone surrogate',
  moment: 'must be an RFC 3339 date-time with an offset, of years 0001 to 9999, to the microsecond at most'
}

// What Fastify calls otherwise.
const PARTS: Record<string, string> = { querystring: 'query', headers: 'header' }

const MAX_FAULTS = 20

// RFC 6901 section 3.
const escapePointer = (name: unknown) => String(name).replaceAll('~', '~0').replaceAll('/', '~1')

/** A JSON Pointer to the member at fault, also when the fault is that it is missing or should not be there. */
function pointerOf({ instancePath, params }: FastifySchemaValidationError): string {
  const member = params.missingProperty ?? params.additionalProperty
  return member === undefined ? instancePath : `${instancePath}/${escapePointer(member)}`
}

/**
 * Makes the formatter that turns validation errors into problems: a body or query that does not fit is
 * `validation_failed` with its faults, and a path that does not fit is the resource's own "not found".
 */
export const schemaErrorFormatter = (notFound: ProblemCode) => (errors: FastifySchemaValidationError[], part: string) =>
  part === 'params'
    ? new Problem(notFound)
    : new Problem(
        'validation_failed',
        errors.slice(0, MAX_FAULTS).map((error) => ({
          in: PARTS[part] ?? part,
          pointer: pointerOf(error),
          detail: MESSAGES[String(error.params.format)] ?? String(error.message)
        }))
      )
