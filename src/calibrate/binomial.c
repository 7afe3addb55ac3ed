#include "calibrate/binomial.h"

#include <float.h>
#include <math.h>

/* The continued fraction of the incomplete beta function (NIST, Digital Library of Mathematical
 * Functions, 8.17.22), evaluated with Lentz's method in the form of Thompson and Barnett (1986). If x
 * is below the mean of the beta distribution, it converges within O(sqrt(a + b)) terms. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1), value;
    if (fabs(d) < tiny) d = tiny;
    d = 1 / d;
    value = d;
    for (int m = 1; m < 100000; m++) {
        double step = 1;
        for (int odd = 0; odd < 2; odd++) {
            double term = odd ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                              : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
            d = 1 + term * d;
            c = 1 + term / c;
            if (fabs(d) < tiny) d = tiny;
            if (fabs(c) < tiny) c = tiny;
            d = 1 / d;
            step = c * d;
            value *= step;
        }
        if (fabs(step - 1) < DBL_EPSILON) break;
    }
    return value;
}

static double log_gamma(double x)
{
    int sign; /* lgamma would store it in a global variable */
    return lgamma_r(x, &sign);
}

/* The regularised incomplete beta function I_x(a, b) for a, b > 0 and x in (0, 1). */
static double incomplete_beta(double a, double b, double x)
{
    double scale = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return scale * beta_fraction(a, b, x) / a;
    return 1 - scale * beta_fraction(b, a, 1 - x) / b;
}

double hb_binomial_at_most(size_t k, size_t n, double q)
{
    if (k >= n) return 1;
    return incomplete_beta((double)(n - k), (double)k + 1, 1 - q);
}

double hb_binomial_at_least(size_t k, size_t n, double q)
{
    if (k == 0) return 1;
    if (k > n) return 0;
    return incomplete_beta((double)k, (double)(n - k) + 1, q);
}
