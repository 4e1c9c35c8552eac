import type { TSchema } from '@sinclair/typebox'
import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'
import { isDateTime, isText } from './formats.ts'
import { createQueryCoercion } from './query-string.ts'

// JSON bodies have types, so AJV coerces nothing.
const createAjv = (allErrors: boolean) => {
  const ajv = new Ajv({ allErrors, allowUnionTypes: true })
  addFormats.default(ajv)
  ajv.addFormat('date-time', isDateTime)
  ajv.addFormat('text', isText)
  return ajv
}

const [firstError, allErrors] = [createAjv(false), createAjv(true)]

/** A larger request gets only its first issue. A valid batch of 100 operations has about 1,600 values. */
const ALL_ISSUES_MAX_VALUES = 2000

/** Whether a value contains few enough values, itself included, to look for all issues. */
function isSmall(value: unknown): boolean {
  const pending = [value]
  let values = 1
  while (pending.length > 0) {
    const next = pending.pop()
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
 * the first pass stops at the first issue. Only a small value gets a second pass, which finds all issues.
 *
 * @param prepare changes the value before it is validated
 */
function compile(schema: TSchema, prepare?: (value: never) => void): ValidateFunction {
  const [first, all] = [firstError.compile(schema), allErrors.compile(schema)]
  const validate = (value: unknown) => {
    prepare?.(value as never)
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

/** Compiles the schemas of the routes, once, at start. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) =>
  compile(schema, httpPart === 'querystring' ? createQueryCoercion(schema) : undefined)
