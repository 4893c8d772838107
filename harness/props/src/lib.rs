//! Properties of Pinfold as bolero tests.
