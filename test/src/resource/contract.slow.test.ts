import t from 'tap'
import { contractSuite } from '../../support/contract.ts'
import samples from '../../support/samples.ts'

contractSuite(t, samples, { runs: 25 })
