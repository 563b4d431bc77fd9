// The radial functions of model/radial.py, cut off and scaled, and a one that carries the filter's bias.
#pragma once

namespace mlffd::training {

// R + 1 values and their derivatives at r Å: scale · envelope(r) · {sqrt(2/r_c) sin(nπr/r_c)/r, 1}.
void radial_basis(double r, int n_rbf, double cutoff, double scale, float* values, float* slopes);

}  // namespace mlffd::training
