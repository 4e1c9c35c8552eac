import type { TSchema } from '@sinclair/typebox'
import { Ajv, type SchemaValidateFunction, str, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'
import { isDate, isDateTime, isText } from './formats.ts'
import { createQueryCoercion } from './query-string.ts'
import { isRecentUuidv7 } from './uuid.ts'

/** The most levels that a schema can allow a JSON document to have. */
export const DEPTH_MAX = 100

/** Whether objects and arrays are nested at most `most` levels deep. A text or a number has no level. */
function isWithinDepth(most: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return most > 0 && Object.values(value).every((inner) => isWithinDepth(most - 1, inner))
}

/** Whether JSON has every number in a value. `JSON.parse` reads 1e400 as infinity, which JSON.stringify makes null. */
const isJson = (value: unknown): boolean =>
  typeof value === 'object' && value !== null
    ? Object.values(value).every(isJson)
    : typeof value !== 'number' || Number.isFinite(value)

/** The keyword `maxBytes`: the bound of a JSON document, which its schema alone may not have. */
const maxBytes: SchemaValidateFunction = (most: number, value: unknown) => {
  // The others would fail for thousands of levels.
  const isShort = isWithinDepth(DEPTH_MAX, value) && Buffer.byteLength(JSON.stringify(value)) <= most
  if (isShort && isJson(value)) return true
  const message = isShort
    ? 'must NOT contain a number beyond double precision'
    : `must NOT have more than ${most} bytes of JSON`
  maxBytes.errors = [{ keyword: 'maxBytes', params: {}, message }]
  return false
}

// JSON bodies have types, so AJV coerces nothing.
const createAjv = (allErrors: boolean) => {
  const ajv = new Ajv({ allErrors, allowUnionTypes: true, discriminator: true })
  // What the document tells `rowkeeper/client`.
  ajv.addVocabulary(['x-default', 'x-filter', 'x-kind'])
  addFormats.default(ajv)
  ajv.addFormat('date-time', isDateTime)
  ajv.addFormat('date', isDate)
  ajv.addFormat('text', isText)
  ajv.addFormat('recent-uuidv7', isRecentUuidv7)
  // Before `anyOf`, whose schemas could take long for a large document.
  ajv.addKeyword({ keyword: 'maxBytes', before: 'const', schemaType: 'number', errors: true, validate: maxBytes })
  ajv.addKeyword({
    keyword: 'maxDepth',
    schemaType: 'number',
    validate: isWithinDepth,
    error: { message: ({ schema }) => str`must NOT be nested deeper than ${schema} levels` }
  })
  return ajv
}

const [firstError, allErrors] = [createAjv(false), createAjv(true)]

// `allErrors` goes on after `maxLength`, and the time of a pattern may grow with the square of the text, or faster.
allErrors.removeKeyword('pattern').addKeyword({
  keyword: 'pattern',
  type: 'string',
  schemaType: 'string',
  compile(pattern: string, { maxLength = Number.POSITIVE_INFINITY }) {
    const expression = new RegExp(pattern, 'u')
    // A character has up to two code units.
    return (text: string) => text.length > 2 * maxLength || expression.test(text)
  },
  error: { message: ({ schema }) => str`must match pattern "${schema}"` }
})

/** Returns what compiles schemas, equal ones once: the routes of a resource share some. */
export function compilerOf(ajv: Ajv): (schema: object) => ValidateFunction {
  const compiled = new Map<string, ValidateFunction>()
  return (schema) => {
    const text = JSON.stringify(schema)
    const validate = compiled.get(text) ?? ajv.compile(schema)
    compiled.set(text, validate)
    return validate
  }
}

/** What validates values by a schema. It ends at the first issue. @throws for a schema that is not valid */
export const validatorOf = compilerOf(firstError)
const allIssuesOf = compilerOf(allErrors)

/** A larger request gets only its first issue. A valid batch of 100 operations has about 1,600 values. */
const ALL_ISSUES_MAX_VALUES = 2000

/** Some formats of ajv-formats take a time that grows with the square of the text: 50 ms for this many characters. */
const ALL_ISSUES_MAX_CHARACTERS = 12_000

/** Whether a value contains few enough values, itself included, and characters to look for all issues. */
function isSmall(value: unknown): boolean {
  const pending = [value]
  let [values, characters] = [1, 0]
  while (pending.length > 0) {
    const next = pending.pop()
    if (typeof next === 'string') characters += next.length
    if (characters > ALL_ISSUES_MAX_CHARACTERS) return false
    if (typeof next !== 'object' || next === null) continue
    const inner = Object.values(next)
    values += inner.length
    if (values > ALL_ISSUES_MAX_VALUES) return false
    pending.push(...inner)
  }
  return true
}

/**
 * Compiles a schema. AJV's `allErrors` has no bound: it goes on after `maxItems`, and reports each unknown member. So
 * the first pass stops at the first issue. Only a small value gets a second pass, which finds all issues. That one is
 * compiled when a value first needs it, so that the service starts sooner.
 *
 * @param prepare changes the value before it is validated
 */
function compile(schema: TSchema, prepare?: (value: never) => void): ValidateFunction {
  const first = validatorOf(schema)
  let all: ValidateFunction | undefined
  const validate = (value: unknown) => {
    prepare?.(value as never)
    const valid = first(value)
    validate.errors = first.errors
    if (!valid && isSmall(value)) {
      all ??= allIssuesOf(schema)
      all(value)
      validate.errors = all.errors
    }
    return valid
  }
  validate.errors = first.errors
  return validate as ValidateFunction
}

/** Compiles the schemas of the routes, each once. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) =>
  compile(schema, httpPart === 'querystring' ? createQueryCoercion(schema) : undefined)
